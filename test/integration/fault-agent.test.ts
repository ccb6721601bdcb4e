/** Fault tests 1, 2, 9, 11 and 12: agents and sidecars that stop, die, come back, or lose what they held. */
import { BEACON, open } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { instances, listedNode, metric, sidecarCheck, sidecarOf } from "../harness/observe.js";

const BEAT_MS = 2_000;
const TTL_MS = 3 * BEAT_MS;
let cluster: LocalCluster;
let server: LocalNode;
let client: LocalNode;

beforeAll(async () => {
  cluster = await startTestCluster({ nodes: 2, sidecarArgs: () => ["--beat=2s", "--heartbeat-min=6s", "--validity-min=30s"] });
  [server, client] = cluster.nodes as [LocalNode, LocalNode];
  await passing();
}, 120_000);
afterAll(() => stopTestCluster(cluster), 60_000);

const passing = (timeoutMs = 30_000) =>
  eventually(async () => expect(await sidecarCheck(server.consul, client.name)).toBe("passing"), { timeoutMs });

/** Its own agent holds the service, one entry for the node is in the catalog, passing, and the peer believes its record. */
async function whole(timeoutMs: number): Promise<void> {
  await eventually(
    async () => {
      // The catalog may still show what a wiped agent had: the agent itself is asked first.
      expect(await client.consul.getJson<object>("/v1/agent/services")).toHaveProperty("ibrl-beacon");
      const entries = (await instances(server.consul)).filter(({ Node }) => Node.Node === client.name);
      expect(entries.map(({ Service }) => Service.ID)).toEqual(["ibrl-beacon"]);
      expect(entries[0]?.Checks.map(({ Status }) => Status)).toEqual(expect.arrayContaining(["passing", "passing"]));
      expect(await listedNode(sidecarOf(server), client.name)).toMatchObject({ trust: "pinned", alive: true, beacon: {} });
    },
    { timeoutMs },
  );
}

const recordOf = async (name: string) => {
  const { sealed_beacon: sealed = "" } = await listedNode(sidecarOf(server), name);
  const opened = open(BEACON, Buffer.from(sealed, "base64"), {
    keys: new KeyAdmission(), nowMs: Date.now(), skewMs: 10_000, datacenter: "dc1", node: name,
  });
  if (!opened.ok) throw new Error(opened.detail);
  return opened.verified;
};

test("1: the agent restarted with its data: service and check pass within 15 s of its answer, same ID, no duplicate", async () => {
  await client.consul.restart();
  await whole(15_000);
}, 120_000);

test("2: the agent restarted empty: registered again within 15 s, and the TTL is passed at once", async () => {
  const before = (await instances(server.consul)).find(({ Node }) => Node.Node === client.name)?.Node.ID;
  await client.consul.restart({ wipe: true });
  await whole(15_000);
  const after = (await instances(server.consul)).find(({ Node }) => Node.Node === client.name)?.Node.ID;
  expect(after).not.toBe(before);
  expect((await listedNode(sidecarOf(server), client.name)).node.id).toBe(after);
}, 120_000);

test("9: the service removed by hand is back within two periods", async () => {
  const response = await client.consul.request("/v1/agent/service/deregister/ibrl-beacon", { method: "PUT" });
  expect(response.status).toBe(200);
  await whole(2 * BEAT_MS + 2_000);
}, 60_000);

test("9: the KV state removed by hand is back within two of its periods", async () => {
  const key = `/v1/kv/ibrl/v1/nodes/${client.name}/state`;
  await client.consul.request(key, { method: "DELETE" });
  await eventually(() => client.consul.getJson(key), { timeoutMs: 2 * 6_600 + 2_000 });
}, 60_000);

test("11: SIGKILL: critical within TTL + 1 s; restarted it has the same key, a higher epoch, and its first record is accepted", async () => {
  const before = await recordOf(client.name);
  sidecarOf(client).kill("SIGKILL");
  await eventually(async () => expect(await sidecarCheck(server.consul, client.name)).toBe("critical"), { timeoutMs: TTL_MS + 1_000, everyMs: 50 });
  await eventually(async () => expect(await listedNode(sidecarOf(server), client.name)).toMatchObject({ alive: false }), { timeoutMs: 5_000 });
  await sidecarOf(client).restart();
  await whole(15_000);
  const after = await recordOf(client.name);
  expect(after.key.hex).toBe(before.key.hex);
  expect(after.record.epoch).toBe(before.record.epoch + 1);
  expect(await metric(sidecarOf(server), "hypercore_ibrl_records_rejected_total", { reason: "pin-conflict" })).toBe(0);
}, 60_000);

test("12: SIGTERM: deregistered, exit 0 within 10 s, and back after a start", async () => {
  const exit = await sidecarOf(client).stop(10_000);
  expect(exit).toMatchObject({ code: 0, signal: null });
  expect((await instances(server.consul)).map(({ Node }) => Node.Node)).toEqual([server.name]);
  expect((await server.consul.request(`/v1/kv/ibrl/v1/nodes/${client.name}/state`)).status).toBe(404);
  expect((await server.consul.request(`/v1/kv/ibrl/v1/pins/dc1/${client.name}`)).status).toBe(200);
  await sidecarOf(client).start();
  await sidecarOf(client).waitReady();
  await whole(15_000);
}, 60_000);

test("12: a second SIGTERM exits at once, although the agent does not answer the leave", async () => {
  client.consul.pause();
  try {
    sidecarOf(client).kill("SIGTERM");
    await eventually(() => sidecarOf(client).logTail().includes("stopping"), { timeoutMs: 5_000, everyMs: 20 });
    sidecarOf(client).kill("SIGTERM");
    expect(await sidecarOf(client).stop(1_000)).toMatchObject({ code: 143 });
  } finally {
    client.consul.resume();
  }
}, 60_000);
