/**
 * How long work is away, by cause: its best node refuses, it fails there, its node breaks the policy, dies, or is cut off.
 * On Consul's and Nomad's own timings, three nodes on this machine; for the cut each in a network namespace. Running is
 * what Nomad's servers say. Each round has clusters of its own, since a node dies in it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Placement } from "../src/dev/cluster-nodes.js";
import { killNode } from "../src/dev/kill-node.js";
import { type LocalCluster, startLocalCluster } from "../src/dev/local-cluster.js";
import { createProgress } from "../src/dev/progress.js";
import { waitFor } from "../src/dev/readiness.js";
import { RunFolder } from "../src/dev/run-folder.js";
import { type SpawnAnswer, type SpawnRequest, WorkloadClient } from "../src/sidecar/api/workload-client.js";
import { NamespaceNetwork, whyNoNamespaces } from "../test/harness/netns.js";
import { median, type Report, runBench } from "./report.js";

const FIRST_SHIFT = 17;
const FOLDER_PREFIX = "hypercore-bench";
const ANCESTOR_S = 90;
const GRACE_S = 2;
const WAIT_MS = 120_000;
/** Of what a client offers: once it fits, twice it does not. */
const MEMORY_SHARE = 0.6;
const PRICES = ["0.003", "0.002"];

const CAUSES = {
  none: "no failure: spawn to running",
  refused: "refusal: the best node has no memory left",
  failed: "it fails where it runs",
  policy: `policy: price over its limit, of which grace ${String(GRACE_S)} s`,
  "killed-overlap": "crash, overlap allowed",
  "killed-exclusive": "crash, exclusive",
  "cut-overlap": "partition, overlap allowed",
  "cut-exclusive": "partition, exclusive",
} as const;
type Times = Record<keyof typeof CAUSES, number[]>;

/** A running cluster: node-3 is the cheapest, node-2 the next; node-1 has the servers, and places nothing. */
class Trial {
  readonly #client: WorkloadClient;

  constructor(
    readonly cluster: LocalCluster,
    address: string,
    private readonly times: Times,
    private readonly signal: AbortSignal,
  ) {
    this.#client = new WorkloadClient(address, { apiToken: readFileSync(this.#sidecar(1).apiTokenFile, "utf8").trim() });
  }

  close(): void {
    this.#client.close();
  }

  async ready(): Promise<void> {
    await waitFor("three candidates, node-3 the best", async () => {
      const { node, decision } = await this.#spawn({ dry_run: true });
      return node === "node-3" && (JSON.parse(Buffer.from(decision ?? []).toString()) as { order: unknown[] }).order.length === 3 ? true : undefined;
    }, { timeoutMs: WAIT_MS, everyMs: 500, signal: this.signal });
  }

  /** The first takes node-3's memory. */
  async refused(): Promise<void> {
    const clients = (await this.cluster.nodes[0]?.nomad?.getJson<{ NodeResources: { Memory: { MemoryMB: number } } }[]>("/v1/nodes?resources=true")) ?? [];
    const memory = Math.floor(MEMORY_SHARE * Math.min(...clients.map(({ NodeResources }) => NodeResources.Memory.MemoryMB)));
    for (const [cause, wanted] of [["none", "node-3"], ["refused", "node-2"]] as const) {
      const startedAt = performance.now();
      const { node, status } = await this.#spawn({ memory });
      if (node !== wanted || status !== "running") throw new Error(`${cause}: ${String(status)} on ${String(node)}, not on ${wanted}`);
      this.times[cause].push(performance.now() - startedAt);
    }
  }

  async failed(): Promise<void> {
    const flag = join(this.cluster.folder, "fail");
    const spawned = await this.#onNode3({ image_ref: shell(`while [ "$(cat ${flag})" != "$NOMAD_ALLOC_ID" ]; do sleep 0.05; done; exit 3`) });
    writeFileSync(flag, spawned.allocation_id ?? "");
    await this.#moved({ failed: spawned });
  }

  async policy(priceScript: string): Promise<void> {
    const policy = policyOf({ rules: { max_price_per_gb: 0.0025 }, grace_s: GRACE_S });
    const spawned = await this.#onNode3({ policy });
    const sidecar = this.#sidecar(2);
    await sidecar.stop();
    writePrice(priceScript, "0.5");
    await sidecar.start();
    await sidecar.waitReady();
    await this.#moved({ policy: spawned });
  }

  async lost(cause: "killed" | "cut", lose: () => Promise<void> | void): Promise<void> {
    const overlap = await this.#onNode3({ allow_overlap: true });
    const exclusive = await this.#onNode3({});
    await lose();
    await this.#moved({ [`${cause}-overlap`]: overlap, [`${cause}-exclusive`]: exclusive });
  }

  /** Until each runs elsewhere, from now. */
  async #moved(spawned: Partial<Record<keyof Times, SpawnAnswer>>): Promise<void> {
    const startedAt = performance.now();
    await Promise.all(Object.entries(spawned).map(async ([cause, { id, allocation_id: old }]) => {
      await waitFor(`${cause}: ${id ?? ""} running elsewhere`, async () => {
        const all = await this.cluster.nodes[0]?.nomad?.getJson<{ ID: string; ClientStatus: string }[]>(`/v1/job/${id ?? ""}/allocations`);
        return all?.some(({ ID, ClientStatus }) => ID !== old && ClientStatus === "running") === true ? true : undefined;
      }, { timeoutMs: WAIT_MS, everyMs: 50, signal: this.signal });
      this.times[cause as keyof Times].push(performance.now() - startedAt);
    }));
  }

  async #onNode3(request: SpawnRequest): Promise<SpawnAnswer> {
    const spawned = await this.#spawn(request);
    if (spawned.node !== "node-3" || spawned.status !== "running") throw new Error(`${String(spawned.status)} on ${String(spawned.node)}, not running on node-3`);
    return spawned;
  }

  #spawn(request: SpawnRequest): Promise<SpawnAnswer> {
    return this.#client.spawn({ image_ref: shell("sleep 600"), cores: 1, memory: 32, policy: policyOf({}), ...request }, WAIT_MS);
  }

  #sidecar(index: number) {
    const sidecar = this.cluster.nodes[index]?.sidecar;
    if (sidecar === undefined || sidecar === null) throw new Error(`node-${String(index + 1)} has no sidecar`);
    return sidecar;
  }
}

function shell(source: string): string {
  return `raw_exec:///bin/sh?arg=-c&arg=${encodeURIComponent(source)}`;
}

function policyOf(more: object): Buffer {
  return Buffer.from(JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 }, ...more }));
}

function writePrice(path: string, dollars: string): void {
  writeFileSync(path, `#!/bin/sh\necho ${dollars}\n`, { mode: 0o755 });
}

async function round(times: Times, signal: AbortSignal): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ibrl-bench-failover-"));
  const priceScript = join(folder, "price");
  writePrice(priceScript, "0.001");
  const sidecarArgs = (index: number): string[] => [
    index === 2 ? `--beacon-price-script=${priceScript}` : `--beacon-price=${PRICES[index] ?? ""}`, "--stop-on-client-after=25s", ...(index === 0 ? ["--no-placer"] : []),
  ];
  const common = { nodes: 3, nomad: true, firstShift: FIRST_SHIFT, folderPrefix: FOLDER_PREFIX, env: process.env, progress: createProgress(), signal };
  try {
    const cluster = await startLocalCluster({ ...common, sidecarArgs });
    const trial = new Trial(cluster, cluster.nodes[1]?.sidecar?.grpcAddr ?? "", times, signal);
    try {
      await trial.ready();
      await trial.refused();
      await trial.failed();
      await trial.policy(priceScript);
      writePrice(priceScript, "0.001");
      await cluster.nodes[2]?.sidecar?.restart();
      await trial.ready();
      await trial.lost("killed", () => void killNode(join(cluster.folder, "node-3"), FOLDER_PREFIX));
    } finally {
      trial.close();
      await cluster.stop();
    }
    await cut(times, common, sidecarArgs, signal);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function cut(times: Times, common: Omit<Parameters<typeof startLocalCluster>[0], "placement">, sidecarArgs: (index: number) => string[], signal: AbortSignal): Promise<void> {
  const run = RunFolder.create(FOLDER_PREFIX);
  const network = await NamespaceNetwork.create(3, run);
  const at = (index: number) => {
    const namespace = network.nodes[index];
    if (namespace === undefined) throw new RangeError(`no namespace ${String(index)}`);
    return namespace;
  };
  const placement = (index: number): Placement => at(index).placement;
  try {
    const cluster = await startLocalCluster({ ...common, placement, sidecarArgs: (index) => [...sidecarArgs(index), "--insecure-bind"] });
    try {
      const trial = new Trial(cluster, await at(1).forward(Number(cluster.nodes[1]?.sidecar?.grpcAddr.split(":")[1])), times, signal);
      try {
        await trial.ready();
        await trial.lost("cut", () => at(2).cut());
      } finally {
        trial.close();
      }
    } finally {
      await cluster.stop();
    }
  } finally {
    await network.remove();
  }
}

await runBench({ rounds: 3 }, async ({ rounds }, signal): Promise<Report> => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  const times = Object.fromEntries(Object.keys(CAUSES).map((cause) => [cause, []])) as unknown as Times;
  for (let i = 0; i < rounds; i++) await round(times, signal);
  return {
    title: "Failover by cause",
    method:
      `Method: ${String(rounds)} rounds, each with clusters of three nodes of its own, default timings of Consul, Nomad and the sidecar, --stop-on-client-after=25s.\n` +
      "From the cause (the spawn call; the exit; the sidecar with the new price being ready; the kill; the cut) to Nomad's servers calling a copy on\n" +
      `another node running. The ratio is to the ${String(ANCESTOR_S)} s that one refusing candidate cost the ancestor (measured).`,
    columns: [
      { key: "cause", heading: "Cause" },
      { key: "medianS", heading: "Median s", digits: 1 },
      { key: "minS", heading: "Min", digits: 1 },
      { key: "maxS", heading: "Max", digits: 1 },
      { key: "ratio", heading: "Ratio", digits: 3 },
    ],
    rows: Object.entries(times).map(([cause, all]) => {
      const seconds = all.map((ms) => ms / 1_000);
      const medianS = median(seconds);
      return { cause: CAUSES[cause as keyof Times], medianS, minS: Math.min(...seconds), maxS: Math.max(...seconds), ratio: medianS / ANCESTOR_S };
    }),
  };
});
