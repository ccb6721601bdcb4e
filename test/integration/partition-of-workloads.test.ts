/**
 * A node with workloads cut off from all others and healed, and one behind a bad path, in network namespaces, on Consul's and
 * Nomad's own timings: the exclusive workload never has two live copies, the other has (fault tests 30 and 6). The copies
 * themselves write when they live; they hold on to life as long as they may, so that Nomad has to kill them after the kill timeout.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { listed, listedNode, metric, sidecarOf } from "../harness/observe.js";

const TEST_MS = 300_000;
/** node-3 is the cheapest, node-2 the next; node-1 has the servers, and places nothing. */
const PRICES = ["0.003", "0.002", "0.001"];
const policy = Buffer.from(JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } }));

interface Workload {
  id: string;
  /** Of its first copy. */
  first: string;
  node: string;
}

let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;
let client: WorkloadClient | undefined;

beforeAll(async () => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(3, folder);
  cluster = await startTestCluster({
    nomad: true,
    placement: (index) => network.nodes[index]!.placement,
    sidecarArgs: (index) => [
      "--beat=1s", "--heartbeat-min=2s", "--proof-interval=1s", "--probe-interval=100ms", "--probe-window=4s", "--insecure-bind", "--stop-on-client-after=25s", `--beacon-price=${PRICES[index] ?? ""}`,
      ...(index === 0 ? ["--no-placer"] : []),
    ],
  });
  const { grpcAddr, apiTokenFile } = sidecarOf(node(1));
  client = new WorkloadClient(await network.nodes[1]!.forward(Number(grpcAddr.split(":")[1])), { apiToken: readFileSync(apiTokenFile, "utf8").trim() });
  mkdirSync(stamps());
}, 600_000);

afterAll(async () => {
  client?.close();
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;
const allocations = ({ id }: Workload) => nomad<{ ID: string; NodeName: string; ClientStatus: string; CreateIndex: number }[]>(`/v1/job/${id}/allocations`);
const stamps = (): string => join(cluster.folder, "stamps");
/** When this copy lived, in Unix milliseconds, oldest first. */
const livedAtMs = (allocation: string): number[] => readFileSync(join(stamps(), allocation), "utf8").trim().split("\n").map(Number);

async function spawn(more: object): Promise<Workload> {
  const image_ref = `raw_exec:///bin/sh?arg=-c&arg=${encodeURIComponent(`trap "" INT TERM; while :; do date +%s%3N >> ${stamps()}/$NOMAD_ALLOC_ID; sleep 0.1; done`)}`;
  const { id, allocation_id: first, node: at } = await (client as WorkloadClient).spawn({ image_ref, cores: 1, memory: 32, policy, ...more }, 60_000);
  return { id: id ?? "", first: first ?? "", node: at ?? "" };
}

async function mover(): Promise<string> {
  const [{ Value }] = await node(0).consul.getJson<[{ Value: string }]>("/v1/kv/ibrl/v1/placement/dc1/mover");
  return (JSON.parse(Buffer.from(Value, "base64").toString()) as { node: string }).node;
}

test("30: cut off, the old exclusive copy ends before the new one starts, by their own time stamps; with overlap both live, both are listed, and proofs name theirs; healed, one of each is left", async () => {
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" }), { timeoutMs: 60_000 });
  await eventually(async () => expect(await mover()).toMatch(/^node-[23]$/));
  if ((await mover()) === "node-2") {
    // The mover's node is the one to be cut off.
    await sidecarOf(node(1)).stop();
    await eventually(async () => expect(await mover()).toBe("node-3"));
    await sidecarOf(node(1)).restart();
    await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" }), { timeoutMs: 60_000 });
  }
  const overlap = await spawn({ allow_overlap: true });
  const isListed = async (allocation: string) => JSON.stringify(await listed(sidecarOf(node(1)))).includes(`"allocation_id":"${allocation}"`);
  await eventually(async () => expect(await isListed(overlap.first)).toBe(true), { timeoutMs: 60_000 });
  // Cut just after: the client counts from its newest allocation, where that is later than its last heartbeat.
  const exclusive = await spawn({});
  expect([exclusive.node, overlap.node]).toEqual(["node-3", "node-3"]);
  await eventually(() => expect(livedAtMs(exclusive.first).length).toBeGreaterThan(1), { everyMs: 50 });

  const namespace = network.nodes[2]!;
  await namespace.cut();
  const cutAtMs = Date.now();
  const nextOf = async (workload: Workload): Promise<string> => {
    const [next, ...more] = (await allocations(workload)).filter(({ ID }) => ID !== workload.first);
    expect([next, more]).toMatchObject([{ NodeName: "node-2", ClientStatus: "running" }, []]);
    return next?.ID ?? "";
  };
  const overlapNext = await eventually(() => nextOf(overlap), { timeoutMs: 90_000 });
  const moverAfterMs = Date.now() - cutAtMs;
  expect(await mover()).toBe("node-2");
  expect(await isListed(overlap.first)).toBe(true);
  await eventually(async () => expect(await isListed(overlapNext)).toBe(true), { timeoutMs: 60_000 });
  const exclusiveNext = await eventually(() => nextOf(exclusive), { timeoutMs: 120_000 });

  await namespace.heal();
  await eventually(async () => {
    for (const each of [exclusive, overlap]) expect((await allocations(each)).filter(({ ID, ClientStatus }) => ID === each.first && ClientStatus === "running")).toEqual([]);
  }, { timeoutMs: 120_000 });
  for (const [job, next] of [[exclusive, exclusiveNext], [overlap, overlapNext]] as const) {
    expect((await allocations(job)).filter(({ ClientStatus }) => ClientStatus === "running")).toMatchObject([{ ID: next, NodeName: "node-2" }]);
    expect(await nomad(`/v1/job/${job.id}`)).toMatchObject({ Meta: { ibrl_generation: "2" } });
  }
  // Both nodes are those of one machine, so that their time stamps have one clock.
  const [oldEnd = NaN, newStart = NaN] = [livedAtMs(exclusive.first).at(-1), livedAtMs(exclusiveNext)[0]];
  expect(oldEnd).toBeGreaterThan(cutAtMs);
  expect(newStart).toBeGreaterThan(oldEnd);
  const [otherEnd = NaN, otherStart = NaN] = [livedAtMs(overlap.first).at(-1), livedAtMs(overlapNext)[0]];
  expect(otherStart).toBeLessThan(otherEnd);
  process.stderr.write(`partition of the mover's own node, ms after the cut: exclusive: the old copy's last sign ${String(oldEnd - cutAtMs)}, the new one's first ${String(newStart - cutAtMs)}; overlap: the new one's first ${String(otherStart - cutAtMs)}, seen by ${String(moverAfterMs)}, the old one's last ${String(otherEnd - cutAtMs)}\n`);

  expect(await metric(sidecarOf(node(1)), "hypercore_ibrl_workload_moves_total", { cause: "node-failed" })).toBe(2);
  for (const [index, of] of [[1, overlapNext], [2, overlap.first]] as const) {
    const state = { IBRL_STATE_DIR: sidecarOf(node(index)).stateFolder };
    await eventually(async () => {
      const { proofs } = JSON.parse((await runCli(["proof", "list", "--json"], state)).stdout) as { proofs: { job: string; allocation: string }[] };
      expect([index, ...proofs.filter(({ job }) => job === overlap.id)]).toMatchObject([index, { allocation: of }]);
    }, { timeoutMs: 60_000 });
  }
  for (const { id } of [exclusive, overlap]) await (client as WorkloadClient).stop(id, 60_000);
}, TEST_MS);

const wires = spawnSync("cc", ["--version"]).status === 0 && existsSync("/dev/net/tun");

(wires ? test : test.skip)("6: 30 % of loss and 500 ms of jitter on the path, on and off and then for long: each workload moves once at most, never back, and no exclusive one lives twice (needs cc and /dev/net/tun)", async () => {
  const wire = await network.nodes[2]!.lossyWire({ lossRatio: 0.3, jitterMs: 500 });
  const ranges = { price_per_gb: { best: 0, worst: 0.01 }, packet_loss: { best: 0, worst: 50 } };
  const nearer = Buffer.from(JSON.stringify({ version: 2, name: "nearer", mode: "enforce", scoring: { price_weight: 0.4, loss_weight: 0.6, ranges }, rebalance: { min_gain: 0.1, hold_s: 25, cooldown_s: 0, dry_run: false } }));
  for (const each of [policy, nearer]) await eventually(async () => expect(await spawn({ dry_run: true, policy: each })).toMatchObject({ node: "node-3" }), { timeoutMs: 60_000 });
  const all = [await spawn({}), await spawn({ policy: nearer }), await spawn({ allow_overlap: true })] as const;
  expect(all.map((each) => each.node)).toEqual(Array(3).fill("node-3"));
  const moved = async (labels: Record<string, string> = {}) => {
    const counts = await Promise.all([1, 2].map((index) => metric(sidecarOf(node(index)), "hypercore_ibrl_workload_moves_total", labels)));
    return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  };
  const before = await moved();
  const lossPercent = async () => Number((await listedNode(sidecarOf(node(2)), "node-3")).beacon?.["packet_loss"]);

  // An oscillating link, each time so long that the node itself signs what it measured.
  for (let i = 0; i < 2; i += 1) {
    wire.bad();
    await eventually(async () => expect(await lossPercent()).toBeGreaterThan(10), { timeoutMs: 60_000 });
    wire.clean();
    await eventually(async () => expect(await lossPercent()).toBeLessThan(5), { timeoutMs: 60_000 });
  }
  expect(await moved({ cause: "rebalance" })).toBe(0);

  wire.bad();
  // By the beats of a node with a good path: its own take as long as each answer of its servers.
  const beats = async () => (await metric(sidecarOf(node(0)), "hypercore_ibrl_sequence")) ?? 0;
  const from = await beats();
  await eventually(async () => expect(await beats()).toBeGreaterThan(from + 30), { timeoutMs: 120_000 });
  wire.clean();
  await eventually(async () => {
    expect(await listedNode(sidecarOf(node(1)), "node-3")).toMatchObject({ alive: true });
    for (const each of all) expect((await allocations(each)).filter(({ ClientStatus }) => ClientStatus === "running")).toHaveLength(1);
  }, { timeoutMs: 120_000 });

  for (const each of all) expect((await allocations(each)).length).toBeLessThanOrEqual(2);
  const moves = (await moved()) - before;
  expect(moves).toBeLessThanOrEqual(all.length);
  for (const exclusive of all.slice(0, 2)) {
    const copies = (await allocations(exclusive)).sort((a, b) => a.CreateIndex - b.CreateIndex).map(({ ID }) => livedAtMs(ID));
    for (const [index, copy] of copies.slice(1).entries()) expect(copy[0]).toBeGreaterThan(copies[index]?.at(-1) ?? Infinity);
  }
  process.stderr.write(`a bad path, on and off and then for 30 beats: ${String(moves)} moves of ${String(all.length)} workloads\n`);
  for (const { id } of all) await (client as WorkloadClient).stop(id, 60_000);
}, TEST_MS);
