/** A node dies under its workloads, on Consul's and Nomad's own timings: who moves them, where to, how often, and never twice. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killNode } from "../../src/dev/kill-node.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { listNodes } from "../../src/sidecar/api/client.js";
import { type SpawnAnswer, type SpawnRequest, WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, TEST_FOLDER_PREFIX } from "../harness/cluster.js";
import { listedNode, sidecarOf } from "../harness/observe.js";

const START_MS = 600_000; // the programs may have to be built first
const TEST_MS = 180_000;
/** node-3 is the cheapest; node-1 has the servers of Consul and Nomad, and does not move anything. */
const PRICES = ["0.003", "0.002"];
const folder = mkdtempSync(join(tmpdir(), "ibrl-failover-"));
/** What node-3 asks: a sidecar runs its script when it starts, and once a minute. */
const priceOfNode3 = (dollars: string): void => writeFileSync(join(folder, "price"), `#!/bin/sh\necho ${dollars}\n`, { mode: 0o755 });
const policy = Buffer.from(JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } }));

const MOVED_AS_STOPPED = 'hypercore_ibrl_workload_moves_total{cause="stopped"}';

interface Allocation {
  ID: string;
  NodeName: string;
  ClientStatus: string;
  DesiredStatus: string;
}

let cluster: LocalCluster;
let clients: WorkloadClient[] = [];

beforeAll(async () => {
  priceOfNode3("0.001");
  cluster = await startTestCluster({
    nomad: true,
    sidecarArgs: (index) => [
      "--beat=500ms", "--heartbeat-min=2s", index === 2 ? `--beacon-price-script=${join(folder, "price")}` : `--beacon-price=${PRICES[index] ?? ""}`, "--stop-on-client-after=25s",
      ...(index === 0 ? ["--no-placer"] : []),
    ],
  });
  clients = cluster.nodes.map((node, index) => new WorkloadClient(cluster.environment(index)["IBRL_GRPC_ADDR"] ?? "", { apiToken: readFileSync(node.sidecar?.apiTokenFile ?? "", "utf8").trim() }));
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3", decisionOrder: 3 }), { timeoutMs: 60_000 });
}, START_MS);

afterAll(async () => {
  for (const client of clients) client.close();
  await stopTestCluster(cluster);
  rmSync(folder, { recursive: true });
}, TEST_MS);

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;
const shell = (source: string): string => `raw_exec:///bin/sh?arg=-c&arg=${encodeURIComponent(source)}`;
const allocations = (jobId: string) => nomad<Allocation[]>(`/v1/job/${jobId}/allocations`);
const running = async (jobId: string) => (await allocations(jobId)).filter(({ ClientStatus, DesiredStatus }) => ClientStatus === "running" && DesiredStatus === "run");

async function spawn(request: SpawnRequest): Promise<SpawnAnswer & { decisionOrder: number }> {
  const answer = await (clients[1] as WorkloadClient).spawn({ image_ref: shell("sleep 600"), cores: 1, memory: 32, policy, ...request }, 60_000);
  const { order } = JSON.parse(Buffer.from(answer.decision ?? []).toString() || "{}") as { order?: unknown[] };
  return { ...answer, decisionOrder: order?.length ?? 0 };
}

/** Who holds the mover's lock, by the lock itself and by everybody's metrics. */
async function mover(): Promise<string> {
  const [{ Value }] = await node(0).consul.getJson<[{ Value: string }]>("/v1/kv/ibrl/v1/placement/dc1/mover");
  return (JSON.parse(Buffer.from(Value, "base64").toString()) as { node: string }).node;
}

async function metric(index: number, name: string): Promise<number> {
  const line = ((await node(index).sidecar?.getText("/metrics")) ?? "").split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1]);
}

/** By having the other placer's sidecar leave for a while. */
async function moverIs(wanted: "node-2" | "node-3"): Promise<void> {
  const other = wanted === "node-2" ? 2 : 1;
  if ((await mover()) !== wanted) {
    const { sidecar } = node(other);
    await sidecar?.stop();
    await eventually(async () => expect(await mover()).toBe(wanted));
    await sidecar?.start();
    await sidecar?.waitReady();
  }
  await eventually(async () => expect([await mover(), await metric(3 - other, "hypercore_ibrl_mover"), await metric(other, "hypercore_ibrl_mover")]).toEqual([wanted, 1, 0]));
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3", decisionOrder: 3 }), { timeoutMs: 60_000 });
}

test("one of the placers moves; where that one leaves, the other", async () => {
  await eventually(async () => expect((await metric(1, "hypercore_ibrl_mover")) + (await metric(2, "hypercore_ibrl_mover"))).toBe(1));
  expect(await metric(0, "hypercore_ibrl_mover")).toBeNaN(); // it does not place
  await moverIs((await mover()) === "node-3" ? "node-2" : "node-3");
}, TEST_MS);

test("a workload that fails where it runs goes to the next best; its node is alive", async () => {
  const flag = join(cluster.folder, "fail");
  const { id = "", allocation_id: old = "", node: at } = await spawn({ image_ref: shell(`while [ "$(cat ${flag})" != "$NOMAD_ALLOC_ID" ]; do sleep 0.2; done; exit 3`), request_id: "failing" });
  expect(at).toBe("node-3");
  writeFileSync(flag, old ?? "");
  await eventually(async () => expect(await running(id ?? "")).toMatchObject([{ NodeName: "node-2" }]), { timeoutMs: 60_000 });
  expect(await nomad(`/v1/job/${id ?? ""}`)).toMatchObject({ Meta: { ibrl_generation: "2", ibrl_placed: expect.stringContaining('"tried":["node-3"]') as string } });
  await (clients[1] as WorkloadClient).stop(id ?? "", 60_000);
}, TEST_MS);

test("a workload that fails everywhere again and again ends in a named state that is counted and logged as an error once, and nothing moves it; the same request places it anew", async () => {
  const stuck = async (state: string) => {
    const counts = await Promise.all([1, 2].map((index) => metric(index, `hypercore_ibrl_workloads_stuck{state="${state}"}`)));
    return counts.filter((count) => !Number.isNaN(count));
  };
  const errors = (id: string) => [1, 2].flatMap((index) => readFileSync(node(index).sidecar?.logFile ?? "", "utf8").split("\n")).filter((line) => line.includes(id) && line.includes("workload is stuck"));
  const cured = join(cluster.folder, "cured");
  const request = { image_ref: shell(`[ -e ${cured} ] && exec sleep 600; sleep 0.5; exit 7`), request_id: "fails-everywhere" };
  const spawned = await spawn(request);
  const id = spawned.id ?? "";
  type Job = { Meta: { ibrl_placed: string; ibrl_generation: string }; JobModifyIndex: number };
  const job = () => nomad<Job>(`/v1/job/${id}`);
  expect(spawned.node).toBe("node-3");

  // Each node once, the last one left as it is.
  await eventually(async () => expect(await stuck("no-node")).toEqual([1]), { timeoutMs: 90_000 });
  const failedOn = async () => (await allocations(id)).filter(({ ClientStatus }) => ClientStatus === "failed").map(({ NodeName }) => NodeName).sort();
  expect(await failedOn()).toEqual(["node-1", "node-2", "node-3"]);
  expect((await job()).Meta.ibrl_generation).toBe("3");
  expect(errors(id)).toMatchObject([expect.stringMatching(/it failed on every node.*"node-3","node-2","node-1"|"node-3","node-2","node-1".*it failed on every node/)]);

  // Where there are more nodes it is moved five times. The job's meta is all that a mover knows of that.
  const { Meta: { ibrl_placed: placed, ...meta }, ...rest } = await job();
  const often = JSON.stringify({ ...(JSON.parse(placed) as object), moves: 5, tried: [] });
  const changed = await node(0).nomad?.request(`/v1/job/${id}`, { method: "POST", body: JSON.stringify({ Job: { ...rest, Meta: { ...meta, ibrl_placed: often } } }) });
  expect(changed?.status).toBe(200);
  await eventually(async () => expect([await stuck("moved-too-often"), await stuck("no-node")]).toEqual([[1], [0]]), { timeoutMs: 60_000 });
  expect(errors(id).filter((line) => line.includes("moved too often"))).toHaveLength(1);
  const [index, ran] = [(await job()).JobModifyIndex, (await allocations(id)).length];
  const looks = await metric(1, "hypercore_ibrl_sequence");
  await eventually(async () => expect(await metric(1, "hypercore_ibrl_sequence")).toBeGreaterThan(looks + 10)); // five looks at least
  expect([(await job()).JobModifyIndex, (await allocations(id)).length, errors(id).length]).toEqual([index, ran, 2]);

  writeFileSync(cured, "");
  const anew = await spawn(request);
  expect(anew).toMatchObject({ id, status: "running" });
  await eventually(async () => expect([await running(id), await stuck("moved-too-often")]).toMatchObject([[{ ID: anew.allocation_id }], [0]]));
  expect(JSON.parse((await job()).Meta.ibrl_placed)).toMatchObject({ moves: 0 });
  await (clients[1] as WorkloadClient).stop(id, 60_000);
}, TEST_MS);

test("a workload on a node that breaks its policy for longer than its grace is moved, the old copy ends first, and explain says why; a better node by rebalance is another reason, and a price that comes and goes is none", async () => {
  await moverIs("node-2");
  const limited = (grace: object) => Buffer.from(JSON.stringify({ ...(JSON.parse(policy.toString()) as object), rules: { max_price_per_gb: 0.0025 }, ...grace }));
  const moved = await spawn({ policy: limited({ grace_s: 2 }) });
  const patient = await spawn({ policy: limited({ grace_s: 86_400 }) });
  const indifferent = await spawn({});
  const rebalance = (more: object) => Buffer.from(JSON.stringify({ ...(JSON.parse(policy.toString()) as object), rebalance: { min_gain: 0.5, hold_s: 2, cooldown_s: 0, ...more } }));
  const improved = await spawn({ policy: rebalance({ dry_run: false }) });
  const planned = await spawn({ policy: rebalance({}) });
  const id = moved.id ?? "";
  expect([moved, patient, indifferent, improved, planned].map((each) => each.node)).toEqual(Array(5).fill("node-3"));
  const costs = async (dollars: string) => {
    const { sidecar } = node(2);
    await sidecar?.stop();
    priceOfNode3(dollars);
    await sidecar?.start();
    await sidecar?.waitReady();
    await eventually(async () => expect((await listedNode(sidecarOf(node(1)), "node-3")).beacon).toMatchObject({ price_per_gb: Number(dollars) }));
  };
  await costs("0.5");
  await eventually(async () => expect(await running(id)).toMatchObject([{ NodeName: "node-2" }]), { timeoutMs: 60_000 });

  await eventually(async () => expect(await running(improved.id ?? "")).toMatchObject([{ NodeName: "node-2" }]), { timeoutMs: 60_000 });
  await eventually(() => expect(readFileSync(node(1).sidecar?.logFile ?? "", "utf8")).toMatch(new RegExp(`"job":"${planned.id ?? ""}","from":"node-3","to":"node-2","gain":1.*dry run`)));

  type Times = { ID: string; TaskStates: Record<string, { StartedAt: string; FinishedAt: string }> };
  const tasks = async (allocation: string) => Object.values((await nomad<Times>(`/v1/allocation/${allocation}`)).TaskStates);
  const [{ ID: second = "" } = {}] = await running(id);
  const [[first], [next]] = [await tasks(moved.allocation_id ?? ""), await tasks(second)];
  expect(Date.parse(first?.FinishedAt ?? "")).toBeLessThanOrEqual(Date.parse(next?.StartedAt ?? ""));
  expect(await metric(1, 'hypercore_ibrl_workload_moves_total{cause="policy"}')).toBe(1);
  expect(await metric(1, 'hypercore_ibrl_workload_moves_total{cause="rebalance"}')).toBe(1);
  // Cheap again, and dear, and cheap: what went stays where it is, and what had not gone stays too.
  await costs("0.001");
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" }));
  const unmoved = await spawn({ policy: rebalance({ dry_run: false, hold_s: 60 }) });
  expect(unmoved.node).toBe("node-3");
  for (const dollars of ["0.5", "0.001", "0.5"]) await costs(dollars);
  expect([await running(id), await running(improved.id ?? "")]).toMatchObject([[{ ID: second }], [{ NodeName: "node-2" }]]);
  expect((await metric(1, 'hypercore_ibrl_workload_moves_total{cause="policy"}')) + (await metric(1, 'hypercore_ibrl_workload_moves_total{cause="rebalance"}'))).toBe(2);
  expect(readFileSync(node(1).sidecar?.logFile ?? "", "utf8").split("\n").filter((line) => line.includes(planned.id ?? "") && line.includes("dry run"))).toHaveLength(1);
  for (const stays of [patient, indifferent, planned, unmoved]) expect(await running(stays.id ?? "")).toMatchObject([{ ID: stays.allocation_id }]);

  // By the states that the nodes sign, which come after the move.
  const explain = async (job: string, why: string) => eventually(async () => {
    const { stdout } = await runCli(["cluster", "explain", job], cluster.environment(1));
    expect(stdout).toContain(`\n  moved     away from node-3: ${why}`);
    return stdout;
  });
  await explain(improved.id ?? "", "another node was better");
  const explained = await explain(id, "the node broke the policy for ");
  expect(explained).toMatch(/ s: max_price_per_gb: \$0\.5\/GB > \$0\.0025\/GB\n/);
  expect(explained).toContain("  replay    the same bytes\n");
  expect(explained).toMatch(/\n1\. node-2: eligible/);
  for (const { id: each } of [moved, patient, indifferent, improved, planned, unmoved]) await (clients[1] as WorkloadClient).stop(each ?? "", 60_000);
  await costs("0.001");
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3", decisionOrder: 3 }), { timeoutMs: 60_000 });
}, TEST_MS);

test("a drained node: what runs there ends in order, and is moved; the node takes work again when the drain is over", async () => {
  const stopped = async () => (await metric(1, MOVED_AS_STOPPED)) + (await metric(2, MOVED_AS_STOPPED));
  const before = await stopped();
  const spawned = await spawn({});
  const [id, old] = [spawned.id ?? "", spawned.allocation_id ?? ""];
  expect(spawned.node).toBe("node-3");
  const [{ ID: nodeId = "" } = {}] = (await nomad<{ ID: string; Name: string }[]>("/v1/nodes")).filter(({ Name }) => Name === "node-3");
  const drain = async (change: object) => (await node(0).nomad?.request(`/v1/node/${nodeId}/drain`, { method: "POST", body: JSON.stringify(change) }))?.status;
  expect(await drain({ DrainSpec: { Deadline: 3_600_000_000_000 } })).toBe(200);
  await eventually(async () => expect(await running(id)).toMatchObject([{ NodeName: "node-2" }]), { timeoutMs: 90_000 });
  expect((await allocations(id)).find(({ ID }) => ID === old)).toMatchObject({ ClientStatus: "complete" });
  expect(await stopped()).toBe(before + 1);
  await (clients[1] as WorkloadClient).stop(id, 60_000);
  expect(await drain({ DrainSpec: null, MarkEligible: true })).toBe(200);
  await eventually(async () => expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3", decisionOrder: 3 }), { timeoutMs: 60_000 });
}, TEST_MS);

test("a node cut off for a while, and back: overlap has a second copy, shown as such, and then one; exclusive stays where it is", async () => {
  const beats = join(cluster.folder, "beats");
  mkdirSync(beats);
  const beating = (allocation: string): number => statSync(join(beats, allocation), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const image = shell(`while :; do touch ${beats}/$NOMAD_ALLOC_ID; sleep 0.2; done`);
  const [overlap, exclusive] = [await spawn({ image_ref: image, allow_overlap: true }), await spawn({ image_ref: image })];
  const [overlapId, old, stays] = [overlap.id ?? "", overlap.allocation_id ?? "", exclusive.allocation_id ?? ""];
  expect([overlap.node, exclusive.node]).toEqual(["node-3", "node-3"]);
  // Both are in node-3's signed state, which is what the others know of it while it is away.
  const listed = async (id: string) => (await listNodes({ address: cluster.environment(1)["IBRL_GRPC_ADDR"] ?? "" })).flatMap(({ state }) => state?.record.workloads ?? []).filter(({ job }) => job === id).map((each) => each.id).sort();
  await eventually(async () => expect(await listed(overlapId)).toEqual([old]));
  await eventually(async () => expect(await listed(exclusive.id ?? "")).toEqual([stays]));

  for (const agent of [node(2).consul, node(2).nomad]) agent?.pause();
  let second = "";
  try {
    // The agents are away, and the workloads live: nobody can know.
    second = await eventually(async () => {
      const [only, ...more] = (await running(overlapId)).filter(({ ID }) => ID !== old);
      expect([only?.NodeName, more]).toEqual(["node-2", []]);
      return only?.ID ?? "";
    }, { timeoutMs: 60_000 });
    const before = beating(old);
    await eventually(() => expect([beating(old) > before, beating(second) > 0]).toEqual([true, true]));
    await eventually(async () => expect(await listed(overlapId)).toEqual([old, second].sort()));
  } finally {
    for (const agent of [node(2).consul, node(2).nomad]) agent?.resume();
  }
  await eventually(async () => expect((await allocations(overlapId)).find(({ ID }) => ID === old)).toMatchObject({ ClientStatus: "complete" }), { timeoutMs: 60_000 });
  await eventually(async () => expect(await listed(overlapId)).toEqual([second]), { timeoutMs: 60_000 });
  expect((await allocations(overlapId)).map(({ ID }) => ID).sort()).toEqual([old, second].sort());
  // On a machine so slow that Nomad called the node down in between, it may have moved by its rules.
  const [{ ID: nodeId = "" } = {}] = (await nomad<{ ID: string; Name: string }[]>("/v1/nodes")).filter(({ Name }) => Name === "node-3");
  const { Events } = await nomad<{ Events: { Message: string }[] }>(`/v1/node/${nodeId}`);
  if (!Events.some(({ Message }) => Message.includes("missed"))) {
    expect(await allocations(exclusive.id ?? "")).toMatchObject([{ ID: stays, ClientStatus: "running" }]);
  }
  for (const { id } of [overlap, exclusive]) await (clients[1] as WorkloadClient).stop(id ?? "", 60_000);
}, TEST_MS);

test("a killed node, the mover's own: overlap moves on Consul's word, exclusive not before Nomad's; each once", async () => {
  await moverIs("node-3");
  const [overlap, exclusive] = [await spawn({ allow_overlap: true, request_id: "overlap" }), await spawn({ request_id: "exclusive" })];
  expect([overlap.node, exclusive.node]).toEqual(["node-3", "node-3"]);
  const killedAtMs = Date.now();
  killNode(join(cluster.folder, "node-3"), TEST_FOLDER_PREFIX);

  const replaced = async ({ id = "", allocation_id: old }: SpawnAnswer) => {
    expect((await running(id ?? "")).filter(({ ID }) => ID !== old)).toMatchObject([{ NodeName: "node-2" }]);
    return Date.now() - killedAtMs;
  };
  const overlapMs = await eventually(() => replaced(overlap), { timeoutMs: 60_000 });
  const exclusiveMs = await eventually(() => replaced(exclusive), { timeoutMs: 120_000 });
  const nodes = await nomad<{ ID: string; Name: string; Status: string }[]>("/v1/nodes");
  const [{ ID: nodeId = "" } = {}] = nodes.filter(({ Name, Status }) => Name === "node-3" && Status === "down");
  const { StatusUpdatedAt } = await nomad<{ StatusUpdatedAt: number }>(`/v1/node/${nodeId}`);
  process.stderr.write(`failover, ms after the kill: overlap ${String(overlapMs)}, exclusive ${String(exclusiveMs)}; Nomad's word, to the second, ${String(StatusUpdatedAt * 1_000 - killedAtMs)}\n`);

  expect(await mover()).toBe("node-2");
  for (const { id = "", allocation_id: old } of [overlap, exclusive]) {
    expect(await nomad(`/v1/job/${id ?? ""}`)).toMatchObject({ Meta: { ibrl_generation: "2" }, Constraints: [{ RTarget: "node-2" }], TaskGroups: [{ Name: "work-2" }] });
    expect((await allocations(id ?? "")).filter(({ ID }) => ID !== old)).toHaveLength(1);
  }
  // The same request finds the workload where it is now.
  expect(await spawn({ allow_overlap: true, request_id: "overlap" })).toMatchObject({ id: overlap.id, node: "node-2" });
  expect(await metric(1, 'hypercore_ibrl_workload_moves_total{cause="node-failed"}')).toBeGreaterThanOrEqual(2);
}, TEST_MS);
