/**
 * A node with workloads cut off from all others and healed, in network namespaces, on Consul's and Nomad's own timings: the
 * exclusive workload never has two live copies, the other has (fault test 30). The copies themselves write when they live;
 * they hold on to life as long as they may, so that Nomad has to kill them after the kill timeout.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { listed, metric, sidecarOf } from "../harness/observe.js";

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
      "--beat=1s", "--heartbeat-min=2s", "--proof-interval=1s", "--insecure-bind", "--stop-on-client-after=15s", `--beacon-price=${PRICES[index] ?? ""}`,
      ...(index === 0 ? ["--no-placer"] : []),
    ],
  });
  const { grpcAddr, apiTokenFile } = sidecarOf(node(1));
  client = new WorkloadClient(await network.nodes[1]!.forward(Number(grpcAddr.split(":")[1])), { apiToken: readFileSync(apiTokenFile, "utf8").trim() });
}, 600_000);

afterAll(async () => {
  client?.close();
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;
const allocations = ({ id }: Workload) => nomad<{ ID: string; NodeName: string; ClientStatus: string }[]>(`/v1/job/${id}/allocations`);

async function mover(): Promise<string> {
  const [{ Value }] = await node(0).consul.getJson<[{ Value: string }]>("/v1/kv/ibrl/v1/placement/dc1/mover");
  return (JSON.parse(Buffer.from(Value, "base64").toString()) as { node: string }).node;
}

test("30: cut off, the old exclusive copy ends before the new one starts, by their own time stamps; with overlap both live, both are listed, and proofs name theirs; healed, one of each is left", async () => {
  const stamps = join(cluster.folder, "stamps");
  mkdirSync(stamps);
  const image_ref = `raw_exec:///bin/sh?arg=-c&arg=${encodeURIComponent(`trap "" INT TERM; while :; do date +%s%3N >> ${stamps}/$NOMAD_ALLOC_ID; sleep 0.1; done`)}`;
  /** When this copy lived, in Unix milliseconds, oldest first. */
  const livedAtMs = (allocation: string): number[] => readFileSync(join(stamps, allocation), "utf8").trim().split("\n").map(Number);
  const spawn = async (more: object): Promise<Workload> => {
    const { id, allocation_id: first, node: at } = await (client as WorkloadClient).spawn({ image_ref, cores: 1, memory: 32, policy, ...more }, 60_000);
    return { id: id ?? "", first: first ?? "", node: at ?? "" };
  };
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" }), { timeoutMs: 60_000 });
  await eventually(async () => expect(await mover()).toMatch(/^node-[23]$/));
  if ((await mover()) === "node-2") {
    // The mover's node is the one to be cut off.
    await sidecarOf(node(1)).stop();
    await eventually(async () => expect(await mover()).toBe("node-3"));
    await sidecarOf(node(1)).restart();
    await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" }), { timeoutMs: 60_000 });
  }
  const [exclusive, overlap] = [await spawn({}), await spawn({ allow_overlap: true })];
  expect([exclusive.node, overlap.node]).toEqual(["node-3", "node-3"]);
  const isListed = async (allocation: string) => JSON.stringify(await listed(sidecarOf(node(1)))).includes(`"allocation_id":"${allocation}"`);
  for (const { first } of [exclusive, overlap]) await eventually(async () => expect(await isListed(first)).toBe(true), { timeoutMs: 60_000 });

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
}, TEST_MS);
