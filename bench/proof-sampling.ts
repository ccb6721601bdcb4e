/**
 * What looking at allocations for their proofs costs a node: sidecars on one real cluster, over the same seconds, one that
 * looks often, one at the default period, and one that does not look within them. Each has a Nomad client of its own with
 * as many sleeps, registered at Nomad's API. Linux: it reads /proc.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openStatement } from "../src/beacon/envelope.js";
import { KeyAdmission } from "../src/beacon/keys.js";
import { PROOF } from "../src/beacon/proof-codec.js";
import { type LocalCluster, type LocalNode, startLocalCluster } from "../src/dev/local-cluster.js";
import type { NomadAgent } from "../src/dev/nomad-agent.js";
import { createProgress } from "../src/dev/progress.js";
import { waitFor } from "../src/dev/readiness.js";
import type { SidecarProcess } from "../src/dev/sidecar-process.js";
import { ProofFolder } from "../src/sidecar/state/proof-folder.js";
import { clockTicksPerSecond, cpuTicks } from "./proc.js";
import { type Report, runBench } from "./report.js";

/** Away from the ports of `hypercore dev` (0) and of the tests (5). */
const FIRST_SHIFT = 16;
const DEFAULT_S = 30;
/** The longest that the setting takes. Its one look is the sidecar's first, when nothing runs yet. */
const NEVER_S = 600;
const LOOKS_OF_A_SEGMENT = 10;
const WAIT_MS = 60_000;
const keys = new KeyAdmission();

interface Proofs {
  segments: number;
  bytes: number;
}

/** One node: its sidecar, its Nomad client, and what the one wrote about the other's allocations. */
class Watched {
  readonly #sidecar: SidecarProcess;
  readonly #nomad: NomadAgent;
  readonly #proofs: ProofFolder;
  roots = 0;
  #root = "";

  constructor(
    readonly node: LocalNode,
    readonly intervalS: number,
  ) {
    const { sidecar, nomad } = node;
    if (sidecar === null || nomad === null) throw new Error(`${node.name} has no sidecar, or no Nomad`);
    [this.#sidecar, this.#nomad, this.#proofs] = [sidecar, nomad, new ProofFolder(sidecar.stateFolder)];
  }

  stop(): Promise<unknown> {
    return this.#sidecar.stop();
  }

  ticks(): { sidecar: number; nomad: number } {
    return { sidecar: cpuTicks(this.#sidecar.pid ?? 0), nomad: cpuTicks(this.#nomad.pid ?? 0) };
  }

  /** That Nomad's agent answered so far, by its own log. */
  requests(): number {
    return readFileSync(this.#nomad.logFile, "utf8").match(/request complete: method=/g)?.length ?? 0;
  }

  proofs(): Proofs {
    const all = this.#proofs.list().map(({ allocation }) => {
      const last = openStatement(PROOF, this.#proofs.read(allocation)?.segments.at(-1) ?? new Uint8Array(), keys);
      if (!last.ok) throw new Error(`${allocation}: ${last.detail}`);
      return { segments: last.signed.record.index + 1, bytes: statSync(join(this.#sidecar.stateFolder, "proofs", `${allocation}.json`)).size };
    });
    return { segments: all.reduce((sum, { segments }) => sum + segments, 0), bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  get chains(): number {
    return this.#proofs.list().length;
  }

  countRoot(): void {
    const root = Buffer.from(this.#proofs.readRoot()?.sealed ?? []).toString("hex");
    if (root !== this.#root) this.roots += 1;
    this.#root = root;
  }
}

interface Cost {
  intervalS: number;
  sidecarPercent: number;
  nomadPercent: number;
  requestsPerMinute: number;
  /** Those made as the sidecar stopped are in it. */
  segments: number;
  roots: number;
  bytes: number;
}

async function registerSleeps({ nodes: [server] }: LocalCluster, { name }: LocalNode, allocations: number, signal: AbortSignal): Promise<void> {
  const ID = `sleeps-${name}`;
  const task = { Name: "sleep", Driver: "raw_exec", Config: { command: "/bin/sleep", args: ["3600"] }, Resources: { CPU: 10, MemoryMB: 10 }, LogConfig: { MaxFiles: 1, MaxFileSizeMB: 1 } };
  const Job = {
    ID, Name: ID, Type: "service", Datacenters: ["dc1"], Constraints: [{ LTarget: "${node.unique.name}", Operand: "=", RTarget: name }],
    TaskGroups: [{ Name: "app", Count: allocations, EphemeralDisk: { SizeMB: 10 }, Tasks: [task] }],
  };
  const answer = await fetch(`${server?.nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job }), signal });
  if (!answer.ok) throw new Error(await answer.text());
  await waitFor(`${String(allocations)} sleeps on ${name}`, async () => {
    const all = await server?.nomad?.getJson<{ ClientStatus: string }[]>(`/v1/job/${ID}/allocations`);
    return all?.filter(({ ClientStatus }) => ClientStatus === "running").length === allocations ? true : undefined;
  }, { timeoutMs: WAIT_MS, everyMs: 1_000, signal });
}

async function observe(all: readonly Watched[], seconds: number, signal: AbortSignal): Promise<Cost[]> {
  const sample = () => all.map((one) => ({ ticks: one.ticks(), requests: one.requests(), proofs: one.proofs() }));
  for (const one of all) one.countRoot();
  for (const one of all) one.roots = 0;
  const [from, before] = [performance.now(), sample()];
  for (let i = 1; i <= seconds; i++) {
    await sleep(Math.max(0, i * 1_000 - (performance.now() - from)), undefined, { signal });
    for (const one of all) one.countRoot();
  }
  const [elapsedS, after] = [(performance.now() - from) / 1_000, sample()];
  await Promise.all(all.map((one) => one.stop()));
  const ticks = elapsedS * clockTicksPerSecond();
  return all.map((one, i) => {
    const [was, is, sealed] = [before[i] as (typeof before)[number], after[i] as (typeof after)[number], one.proofs()];
    return {
      intervalS: one.intervalS, roots: one.roots,
      sidecarPercent: (100 * (is.ticks.sidecar - was.ticks.sidecar)) / ticks, nomadPercent: (100 * (is.ticks.nomad - was.ticks.nomad)) / ticks,
      requestsPerMinute: (60 * (is.requests - was.requests)) / elapsedS,
      segments: sealed.segments - was.proofs.segments, bytes: sealed.bytes - was.proofs.bytes,
    };
  });
}

await runBench({ allocations: 20, seconds: 150, "short-s": 1 }, async ({ allocations, seconds, "short-s": shortS }, signal): Promise<Report> => {
  const intervals = [NEVER_S, NEVER_S, DEFAULT_S, shortS]; // node-1 has the servers, and no allocations
  const progress = createProgress();
  const cluster = await startLocalCluster({
    nodes: intervals.length, nomad: true, firstShift: FIRST_SHIFT, folderPrefix: "hypercore-bench", env: process.env, progress, signal,
    sidecarArgs: (index) => ["--no-placer", `--proof-interval=${String(intervals[index])}s`],
    nomadConfig: () => ({ log_level: "DEBUG" }), // a line for each request
  });
  try {
    const all = cluster.nodes.slice(1).map((node) => new Watched(node, intervals[node.index] as number));
    await Promise.all(all.map(({ node }) => registerSleeps(cluster, node, allocations, signal)));
    const looking = all.filter(({ intervalS }) => intervalS < NEVER_S);
    await waitFor("a chain of each allocation", () => looking.every(({ chains }) => chains === allocations) || undefined, { timeoutMs: 2 * DEFAULT_S * 1_000, everyMs: 1_000, signal });
    progress.note(`Watched for ${String(seconds)} s`);
    return reportOf(await observe(all, seconds, signal), allocations, seconds);
  } finally {
    await cluster.stop();
  }
});

function reportOf(costs: readonly Cost[], allocations: number, seconds: number): Report {
  const [never, , short] = costs as [Cost, Cost, Cost];
  const whole = short.bytes / short.segments;
  const kbAnHour = (bytes: number, inS: number) => (bytes / 1_000) * (3_600 / inS);
  return {
    title: `Looking for proofs, ${String(allocations)} allocations on a node`,
    method:
      `Method: one cluster with a server node and three more, whose sidecars differ in --proof-interval alone; each has ${String(allocations)} raw_exec sleeps,\n` +
      `registered at Nomad's API. Watched for ${String(seconds)} s, all at once, when the chains had begun. CPU from /proc/PID/stat over the whole span, in\n` +
      "percent of one core: the sidecar, and the agent of its Nomad client without its executors. Requests: all that this agent answered, by\n" +
      "its log. Signatures: segments and roots, without beacons and states. kB each/h: what the folder of proofs grew by, an allocation and\n" +
      "hour. The ratios are to the sidecar that never looks. A segment has ten looks; where these take longer than the span, there is only\n" +
      `the one that is sealed as the sidecar stops. With the ${whole.toFixed(0)} bytes on the disk of a segment in the last row, the default grows by\n` +
      `${kbAnHour(whole, LOOKS_OF_A_SEGMENT * DEFAULT_S).toFixed(1)} kB an allocation and hour, until it has 96 segments.`,
    columns: [
      { key: "what", heading: "Looks every" },
      { key: "sidecarPercent", heading: "Sidecar CPU %", digits: 2 },
      { key: "sidecarRatio", heading: "Ratio", digits: 2 },
      { key: "nomadPercent", heading: "Nomad client CPU %", digits: 2 },
      { key: "nomadRatio", heading: "Ratio", digits: 2 },
      { key: "requestsPerMinute", heading: "Requests/min", digits: 1 },
      { key: "requestsRatio", heading: "Ratio", digits: 1 },
      { key: "segments", heading: "Segments" },
      { key: "roots", heading: "Roots" },
      { key: "signaturesPerS", heading: "Signatures/s", digits: 2 },
      { key: "kbEach", heading: "kB each/h", digits: 1 },
    ],
    rows: costs.map((cost) => ({
      what: cost.intervalS === NEVER_S ? "never" : `${String(cost.intervalS)} s`, ...cost,
      sidecarRatio: cost.sidecarPercent / never.sidecarPercent, nomadRatio: cost.nomadPercent / never.nomadPercent, requestsRatio: cost.requestsPerMinute / never.requestsPerMinute,
      signaturesPerS: (cost.segments + cost.roots) / seconds, kbEach: kbAnHour(cost.bytes / allocations, seconds),
    })),
  };
}
