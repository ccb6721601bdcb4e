/**
 * The release before and this one, side by side on one cluster, and one node upgraded in place and taken back (fault test 33).
 * node-1 runs this version, node-2 the earlier one, and node-3, which runs the workload, what the test gives it.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pinKey } from "../../src/beacon/documents.js";
import { BEACON, open, openStatement } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PROOF } from "../../src/beacon/proof-codec.js";
import type { ProofFile } from "../../src/beacon/proof-file.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { SidecarProcess } from "../../src/dev/sidecar-process.js";
import { WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { builtProject, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { earlierVersion, whyNoEarlierVersion } from "../harness/earlier-version.js";
import { listed, listedNode, type ListedState, metric, sidecarOf } from "../harness/observe.js";
import { context } from "../harness/records.js";
import { kvText } from "../harness/tampering.js";

const NODES = ["node-1", "node-2", "node-3"];
/** node-3 is the cheapest. */
const PRICES = ["0.003", "0.002", "0.001"];
const WITHIN = { timeoutMs: 60_000, everyMs: 500 };
const CHEAPEST = Buffer.from(JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } }));
/** With a port, so that its state says where it is reached, and its proof what it exchanged. */
const SLEEP = { image_ref: "raw_exec:///bin/sleep?arg=600", cores: 1, memory: 32, policy: CHEAPEST, request_id: "across", ports: { 28_600: 80 } };
/** Heard again by another carrier, or before Consul's catalog told of its node: no fault of a version. Every other reason would be. */
const NO_FAULT = new Set(["superseded", "unknown-node"]);

const now = builtProject();
let before: string;
let folder: string;
let cluster: LocalCluster;
let workload: { id: string; allocation: string };

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const program = (project: string): string => join(project, "bin/run.js");

/** What a command of either version says, of whichever source. */
async function says<T>(project: string, args: string[], env: Record<string, string> = cluster.environment()): Promise<T> {
  const { code, stdout, stderr } = await runCli([...args, "--json"], env, project);
  if (code !== 0) throw new Error(`${project}: ${args.join(" ")}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
}

/** Each sidecar, and each version's commands, of either's sidecar and straight from Consul: every node pinned, every link agreed. */
async function everyoneBelievesEveryone(): Promise<void> {
  await eventually(async () => {
    for (const { sidecar } of cluster.nodes) {
      if (sidecar === null) throw new Error("no sidecar");
      const seen = (await listed(sidecar)).map(({ node: { name }, trust, alive }) => ({ name, trust, alive }));
      expect(seen.sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(NODES.map((name) => ({ name, trust: "pinned", alive: true })));
    }
  }, WITHIN);
  await eventually(async () => {
    for (const project of [now, before]) {
      for (const [index, ...more] of [[0], [1], [0, "--consul"]] as [number, ...string[]][]) {
        const env = cluster.environment(index);
        const [{ nodes }, { links }] = await Promise.all([
          says<{ nodes: { node: string; trust: string; verified: boolean }[] }>(project, ["cluster", "metrics", "--strict", ...more], env),
          says<{ links: { a: { node: string }; b: { node: string }; state: string }[] }>(project, ["cluster", "links", "--strict", ...more], env),
        ]);
        expect(nodes.map(({ node: name, trust, verified }) => ({ name, trust, verified }))).toEqual(NODES.map((name) => ({ name, trust: "pinned", verified: true })));
        expect(links.map(({ a, b, state }) => `${a.node} ${b.node} ${state}`)).toEqual(["node-1 node-2 agreed", "node-1 node-3 agreed", "node-2 node-3 agreed"]);
      }
    }
  }, WITHIN);
  for (const each of cluster.nodes) {
    const sidecar = sidecarOf(each);
    const refused = (await sidecar.getText("/metrics")).split("\n").filter((line) => line.startsWith("hypercore_ibrl_records_rejected_total{") && !line.endsWith(" 0"));
    expect({ node: each.name, refused: refused.filter((line) => !NO_FAULT.has(/reason="([^"]*)"/.exec(line)?.[1] ?? "")) }).toEqual({ node: each.name, refused: [] });
    expect(await metric(sidecar, "hypercore_ibrl_evidence_kept_total")).toBe(0);
  }
}

/** Of node-3, by the beacon that node-1 has of it. */
async function speaker() {
  const { sealed_beacon: sealed = "" } = await listedNode(sidecarOf(node(0)), "node-3");
  const opened = open(BEACON, Buffer.from(sealed, "base64"), context({ nowMs: Date.now(), node: "node-3" }));
  if (!opened.ok) throw new Error(opened.detail);
  const { key, record, beaconId } = opened.verified;
  return { key: key.hex, beaconId, epoch: record.epoch, pin: await kvText(node(0).consul, pinKey("dc1", "node-3")) };
}

/** The segments of the workload's chain as this version of `proof export` has them, opened. */
async function chainBy(project: string) {
  const path = join(folder, "proof.json");
  const { code, stdout, stderr } = await runCli(["proof", "export", workload.allocation, "-o", path], { IBRL_STATE_DIR: sidecarOf(node(2)).stateFolder }, project);
  expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
  const file = JSON.parse(readFileSync(path, "utf8")) as ProofFile;
  const segments = file.chains[0]?.segments ?? [];
  const keys = new KeyAdmission();
  const opened = segments.map((sealed) => openStatement(PROOF, Buffer.from(sealed, "base64"), keys));
  return { path, segments, epochs: opened.map((one) => (one.ok ? one.signed.record.epoch : NaN)), fields: Object.keys(file.chains[0] ?? {}) };
}

async function verifies(project: string, path: string) {
  const { key } = await speaker();
  const { code, stdout } = await runCli(["proof", "verify", path, "--trust", key, "--json"], {}, project);
  const { broken, chains } = JSON.parse(stdout) as { broken: { step: string; detail: string } | null; chains: { allocation: string; ended: string | null; restarts: number; events: { type: string }[]; gaps: { reason: string }[] }[] };
  return { code, broken, chain: chains[0] };
}

/** How node-1 and node-2 list every node while something happens. */
async function trustWhile<T>(happens: () => Promise<T>): Promise<{ result: T; seen: string[] }> {
  const seen = new Set<string>();
  const over = new AbortController();
  const watching = [0, 1].map(async (index) => {
    while (!over.signal.aborted) {
      for (const { node: { name }, trust } of await listed(sidecarOf(node(index)))) seen.add(`node-${String(index + 1)}: ${name} ${trust}`);
      await sleep(50);
    }
  });
  const result = await happens().finally(() => over.abort());
  await Promise.all(watching);
  return { result, seen: [...seen].sort() };
}

/** node-3's sidecar becomes another version's, with the state folder that it has. */
async function changeTo(project: string): Promise<void> {
  const [was, chain] = [await speaker(), await chainBy(now)];
  const { result: [is, after], seen } = await trustWhile(async () => {
    const sidecar = sidecarOf(node(2));
    sidecar.program = program(project);
    await sidecar.restart();
    const is = await eventually(async () => {
      const speaks = await speaker();
      expect(speaks.epoch).toBeGreaterThan(was.epoch);
      return speaks;
    }, WITHIN);
    await everyoneBelievesEveryone();
    // Its chain goes on where the other version left it, in segments that this one signed.
    const after = await eventually(async () => {
      const found = await chainBy(now);
      expect(found.epochs.at(-1)).toBe(is.epoch);
      return found;
    }, WITHIN);
    return [is, after] as const;
  });
  expect(seen).toEqual([0, 1].flatMap((index) => NODES.map((name) => `node-${String(index + 1)}: ${name} pinned`)));
  expect(is).toEqual({ ...was, epoch: expect.any(Number) as number });
  expect(after.segments.slice(0, chain.segments.length)).toEqual(chain.segments);
  expect(new Set(after.epochs).size).toBe(new Set(chain.epochs).size + 1);
  expect(await node(0).nomad?.getJson(`/v1/allocation/${workload.allocation}`)).toMatchObject({ ClientStatus: "running", TaskStates: { main: { State: "running", Restarts: 0 } } });
  const told = await verifies(now, after.path);
  expect(told).toMatchObject({ code: 0, chain: { allocation: workload.allocation, ended: null, restarts: 0 } });
  expect(told.chain?.events.filter(({ type }) => type === "Started")).toHaveLength(1);
  // What the earlier one exports of the same folder verifies by both.
  const { path, segments } = await chainBy(before);
  expect(segments.slice(0, after.segments.length)).toEqual(after.segments);
  for (const reader of [now, before]) expect(await verifies(reader, path)).toMatchObject({ code: 0, chain: { allocation: workload.allocation } });
}

const withHistory = whyNoEarlierVersion() === null ? describe : describe.skip;
withHistory("33: the release before and this one (needs git and its history)", () => {
  beforeAll(async () => {
    before = await earlierVersion();
    folder = mkdtempSync(join(tmpdir(), "ibrl-versions-"));
    cluster = await startTestCluster({
      nomad: true,
      sidecarProgram: (index) => (index === 0 ? undefined : program(before)),
      sidecarArgs: (index) => ["--beat=500ms", "--heartbeat-min=2s", "--proof-interval=1s", "--probe-interval=100ms", "--probe-window=20s", `--beacon-price=${PRICES[index] ?? ""}`],
    });
  }, 600_000);
  afterAll(async () => {
    await stopTestCluster(cluster);
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  test("side by side, each verifies the other's nodes, links, decisions and workloads", async () => {
    await everyoneBelievesEveryone();
    const [mine, theirs] = [0, 1].map((index) => {
      const { grpcAddr, apiTokenFile } = sidecarOf(node(index));
      return new WorkloadClient(grpcAddr, { apiToken: readFileSync(apiTokenFile, "utf8").trim() });
    }) as [WorkloadClient, WorkloadClient];
    try {
      const spawned = await eventually(async () => {
        const answer = await mine.spawn(SLEEP, 60_000);
        expect(answer).toMatchObject({ status: "running", node: "node-3" });
        return answer;
      }, WITHIN);
      workload = { id: spawned.id ?? "", allocation: spawned.allocation_id ?? "" };
      // Asked of the other version's placer, the same request is the same job.
      expect(await theirs.spawn(SLEEP, 60_000)).toMatchObject({ id: workload.id, allocation_id: workload.allocation, node: "node-3" });
      const other = await theirs.spawn({ ...SLEEP, request_id: "theirs", ports: { 28_601: 80 } }, 60_000);
      for (const project of [now, before]) {
        // A workload is found by its node's signed state, which lists it at the next beat.
        for (const id of [workload.id, other.id ?? ""]) await eventually(async () => expect((await runCli(["cluster", "explain", id], cluster.environment(), project)).stdout).toContain("replay    the same bytes\n"), WITHIN);
      }
      await mine.stop(other.id ?? "", 60_000);
    } finally {
      for (const client of [mine, theirs]) client.close();
    }
    for (const index of [0, 1]) {
      await eventually(async () => expect(JSON.stringify(await listedNode(sidecarOf(node(index)), "node-3"))).toContain(`"allocation_id":"${workload.allocation}"`), WITHIN);
    }
  }, 120_000);

  test("up: one node upgraded in place has its key, its pins, its workload and the workload's chain; no peer doubts it", async () => {
    await changeTo(now);
    // A file has more in it than the earlier one knows: refused as no proof file, and lost is nothing (what the earlier one exports is above).
    const { path, fields } = await eventually(async () => {
      const found = await chainBy(now);
      expect(found.fields).toContain("decision");
      return found;
    }, WITHIN);
    expect(fields).toContain("root");
    expect(await verifies(now, path)).toMatchObject({ code: 0, chain: { allocation: workload.allocation } });
    expect(await verifies(before, path)).toMatchObject({ code: 3, broken: { step: "file", detail: "is not a proof file" } });
  }, 120_000);

  test("more than ten workloads of the upgraded node are read by who knows batches; to the release before they are unknown, and the node is believed", async () => {
    const Job = {
      ID: "crowd", Name: "crowd", Type: "service", Datacenters: ["*"], Constraints: [{ LTarget: "${node.unique.name}", RTarget: "node-3", Operand: "=" }],
      TaskGroups: [{ Name: "g", Count: 12, Tasks: [{ Name: "t", Driver: "raw_exec", Config: { command: "/bin/sleep", args: ["600"] }, Resources: { CPU: 20, MemoryMB: 10 } }] }],
    };
    expect((await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job }) })).ok).toBe(true);
    const of = async (project: string, index: number, ...more: string[]) => {
      const { nodes } = await says<{ nodes: { node: string; trust: string; detail: string | null; workloads: unknown[] | null }[] }>(project, ["cluster", "list", ...more], cluster.environment(index));
      const { trust, workloads = null, detail } = nodes.find(({ node: name }) => name === "node-3") ?? {};
      return { trust, workloads: workloads?.length ?? null, detail };
    };
    await eventually(async () => expect(await of(now, 0)).toEqual({ trust: "pinned", workloads: 13, detail: null }), WITHIN);
    expect(await of(now, 0, "--consul")).toEqual({ trust: "pinned", workloads: 13, detail: null });
    // Either version's commands of the earlier one's sidecar, and the earlier one's of Consul.
    for (const [project, index, ...more] of [[now, 1], [before, 1], [before, 0, "--consul"]] as [string, number, ...string[]][]) {
      await eventually(async () => expect(await of(project, index, ...more)).toEqual({ trust: "pinned", workloads: null, detail: null }), WITHIN);
    }
    // Of this one's sidecar the earlier one's commands are served a list that the state, as far as they know it, does not have.
    expect(await of(before, 0)).toMatchObject({ trust: "unverified", detail: "readable-mismatch: workloads are not those of the sealed state" });
    for (const { sidecar } of cluster.nodes) expect(await metric(sidecar as SidecarProcess, "hypercore_ibrl_records_rejected_total", { carrier: "kv" })).toBe(0);
  }, 120_000);

  test("down: taken back to the release before it has them still, and what this one wrote is gone on with", async () => {
    await changeTo(before);
    // In its state itself again.
    for (const index of [0, 1]) await eventually(async () => expect((await listedNode(sidecarOf(node(index)), "node-3") as ListedState & { workloads?: unknown[] }).workloads).toHaveLength(13), WITHIN);
  }, 120_000);
});
