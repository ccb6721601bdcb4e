/**
 * What somebody who took one node's token can do with it on a Consul that denies by default, and what not: the table of
 * SECURITY.md. The thief has node-2's token and the certificates, and reaches every agent; the victim is node-3.
 */
import { readFileSync } from "node:fs";
import { pinKey, stateKey } from "../../src/beacon/documents.js";
import type { RejectReason } from "../../src/beacon/rejection.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { runCli } from "../harness/built-cli.js";
import { eventually, SHIPPED_RULES, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { type Instance, instances, listed, listedNode, metric, sidecarOf } from "../harness/observe.js";
import { kvText } from "../harness/tampering.js";

const WITHIN = { timeoutMs: 60_000 };
let cluster: LocalCluster;
let reader: LocalNode;
let thief: LocalNode;
let victim: LocalNode;
let token: string;
let victimsBeaconId: unknown;

beforeAll(async () => {
  cluster = await startTestCluster({ secured: SHIPPED_RULES, sidecarArgs: () => ["--beat=1s", "--heartbeat-min=3s", "--validity-min=300s"] });
  [reader, thief, victim] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  token = readFileSync(cluster.security?.tokenFile(thief.name) ?? "", "utf8");
  await eventually(async () => {
    const states = await listed(sidecarOf(reader));
    expect(states.map(({ node, trust, sealed_state }) => [node.name, trust, sealed_state !== undefined])).toEqual(cluster.nodes.map(({ name }) => [name, "pinned", true]));
  }, WITHIN);
  victimsBeaconId = (await listedNode(sidecarOf(reader), victim.name)).beacon?.["beacon_node_id"];
}, 180_000);
afterAll(() => stopTestCluster(cluster), 60_000);

type Call = [method: "GET" | "PUT" | "DELETE", path: string, body?: object | string];

async function asThief([method, path, body]: Call, at = thief): Promise<{ status: number; text: string }> {
  const response = await at.consul.request(path, { method, token, ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }) });
  return { status: response.status, text: await response.text() };
}

/** The victim's entry in the catalog, as it stands: Consul asks for the right to a node only where its own values change. */
async function victimsEntry(): Promise<Record<string, unknown>> {
  const { Node } = await victim.consul.getJson<{ Node: Record<string, unknown> }>(`/v1/catalog/node/${victim.name}`);
  return { ID: Node["ID"], Node: Node["Node"], Address: Node["Address"], TaggedAddresses: Node["TaggedAddresses"], NodeMeta: Node["Meta"] };
}

const instanceOf = async (node: LocalNode): Promise<Instance | undefined> =>
  (await instances(reader.consul)).find(({ Node }) => Node.Node === node.name);

const FOREIGN_SERVICE = { ID: "ibrl-beacon", Service: "ibrl-beacon" };

describe("cannot", () => {
  test.each<[string, Call, string]>([
    ["write another node's state", ["PUT", `/v1/kv/${stateKey("node-3")}`, "x"], "key:write"],
    ["write that of a node whose name begins like its own", ["PUT", `/v1/kv/${stateKey("node-20")}`, "x"], "key:write"],
    ["delete another node's state", ["DELETE", `/v1/kv/${stateKey("node-3")}`], "key:write"],
    ["delete all states at once", ["DELETE", "/v1/kv/ibrl/v1/nodes/?recurse=true"], "key:write"],
    ["write another node's pin", ["PUT", `/v1/kv/${pinKey("dc1", "node-3")}`, "x"], "key:write"],
    ["pin a node that is not there yet", ["PUT", `/v1/kv/${pinKey("dc1", "node-20")}`, "x"], "key:write"],
    ["write its own pin in another datacenter's place", ["PUT", `/v1/kv/${pinKey("dc2", "node-2")}`, "x"], "key:write"],
    ["write what operators sign", ["PUT", "/v1/kv/ibrl/v1/trust/allow", "x"], "key:write"],
    ["state another node's rotation", ["PUT", "/v1/kv/ibrl/v1/rotations/dc1/node-3/1", "x"], "key:write"],
    ["read any other key", ["GET", "/v1/kv/secrets/database"], "key:read"],
    ["register another service", ["PUT", "/v1/agent/service/register", { ID: "web", Name: "web" }], "service:write"],
    ["add a node", ["PUT", "/v1/catalog/register", { Node: "node-9", Address: "192.0.2.9", Service: FOREIGN_SERVICE }], "node:write"],
    ["remove a node", ["PUT", "/v1/catalog/deregister", { Node: "node-3" }], "node:write"],
    ["drain its agent", ["PUT", "/v1/agent/maintenance?enable=true"], "node:write"],
    ["end its agent", ["PUT", "/v1/agent/leave"], "agent:write"],
    ["throw a node out", ["PUT", "/v1/agent/force-leave/node-3"], "operator:write"],
    ["take a lock", ["PUT", "/v1/session/create", {}], "session:write"],
    ["make itself another token", ["PUT", "/v1/acl/token", { Policies: [{ Name: "global-management" }] }], "acl:write"],
    ["read policies", ["GET", "/v1/acl/policies"], "acl:read"],
    ["fire another event", ["PUT", "/v1/event/fire/deploy", "x"], "Permission denied"],
  ])("%s", async (_, call, permission) => {
    expect(await asThief(call)).toMatchObject({ status: 403, text: expect.stringContaining(permission) });
  });

  test("move another node to an address of its own, or mark it dead", async () => {
    const entry = await victimsEntry();
    const check = { Node: victim.name, CheckID: "serfHealth", Name: "Serf Health Status", Status: "critical" };
    for (const body of [{ ...entry, Address: "192.0.2.1", Service: FOREIGN_SERVICE }, { ...entry, Check: check }]) {
      expect(await asThief(["PUT", "/v1/catalog/register", body])).toMatchObject({ status: 403, text: expect.stringContaining('node:write\' on "node-3"') });
    }
  });

  test("ask another node's agent who it is", async () => {
    expect(await asThief(["GET", "/v1/agent/self"], victim)).toMatchObject({ status: 403, text: expect.stringContaining("agent:read") });
  });
});

describe("can", () => {
  const rejected = (reason: RejectReason, carrier: string): Promise<number | undefined> =>
    metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason, carrier });

  /** Nobody believes anything else of the victim than what it signed, and its entry is its own again. */
  async function unharmed(): Promise<void> {
    await eventually(async () => {
      const own = await victim.consul.getJson<{ Meta: Record<string, string> }>("/v1/agent/service/ibrl-beacon");
      const instance = await instanceOf(victim);
      expect(instance?.Service.Meta).toEqual(own.Meta);
      expect(instance?.Service.Meta["ibrl-beacon"]).toBeDefined();
      expect(instance?.Checks.map(({ CheckID, Status }) => `${CheckID} ${Status}`).sort()).toEqual(["serfHealth passing", "service:ibrl-beacon passing"]);
      expect(await listedNode(sidecarOf(reader), victim.name)).toMatchObject({ trust: "pinned", alive: true, beacon: { beacon_node_id: victimsBeaconId } });
    }, { timeoutMs: 150_000 });
  }

  test("put its own record in the victim's place in the catalog: rejected as wrong-node, and written over by the victim", async () => {
    const before = (await rejected("wrong-node", "meta")) ?? NaN;
    await eventually(async () => {
      // The victim's next registration may come before the reader looks: then once more.
      const Meta = (await instanceOf(thief))?.Service.Meta;
      expect(await asThief(["PUT", "/v1/catalog/register", { ...(await victimsEntry()), Service: { ...FOREIGN_SERVICE, Meta } }])).toMatchObject({ status: 200 });
      await eventually(async () => expect(await rejected("wrong-node", "meta")).toBeGreaterThan(before), { timeoutMs: 3_000 });
    }, WITHIN);
    await unharmed();
  }, 240_000);

  test("take the victim's service out of the catalog: it is back with the victim's next registration", async () => {
    expect(await asThief(["PUT", "/v1/catalog/deregister", { Node: victim.name, ServiceID: "ibrl-beacon" }])).toMatchObject({ status: 200 });
    await unharmed();
  }, 180_000);

  test("do the same at the victim's agent, where it can reach its port: the sidecar registers again", async () => {
    expect(await asThief(["PUT", "/v1/agent/service/deregister/ibrl-beacon"], victim)).toMatchObject({ status: 200 });
    await unharmed();
  }, 180_000);

  test("fire any bytes as the event: rejected", async () => {
    const before = (await rejected("malformed-envelope", "event")) ?? NaN;
    expect(await asThief(["PUT", "/v1/event/fire/ibrl", "no record"])).toMatchObject({ status: 200 });
    await eventually(async () => expect(await rejected("malformed-envelope", "event")).toBeGreaterThan(before), WITHIN);
    await unharmed();
  }, 240_000);

  test("write its own state and pin, and read those of all", async () => {
    const own = pinKey("dc1", thief.name);
    expect(await asThief(["PUT", `/v1/kv/${own}`, await kvText(reader.consul, own)])).toMatchObject({ status: 200, text: "true" });
    expect(await asThief(["PUT", `/v1/kv/${stateKey(thief.name)}`, await kvText(reader.consul, stateKey(thief.name))])).toMatchObject({ status: 200, text: "true" });
    const { text } = await asThief(["GET", "/v1/kv/ibrl/v1/?keys=true"]);
    expect(JSON.parse(text)).toEqual(expect.arrayContaining([stateKey(victim.name), pinKey("dc1", victim.name)]));
  });

  test("fill its own part of KV with more than is read of a node: its own state is not read any more, everybody else's is", async () => {
    const filled = Array.from({ length: 60 }, (_, i) => `ibrl/v1/nodes/${thief.name}/fill-${String(i)}`);
    const rotated = Array.from({ length: 60 }, (_, i) => `ibrl/v1/rotations/dc1/${thief.name}/${String(i)}`);
    for (const key of [...filled, ...rotated]) expect(await asThief(["PUT", `/v1/kv/${key}`, "x".repeat(512 * 1024)])).toMatchObject({ status: 200 });
    await eventually(async () => {
      const states = await listed(sidecarOf(reader));
      expect(states.map(({ node, trust, sealed_state }) => [node.name, trust, sealed_state !== undefined])).toEqual([["node-1", "pinned", true], ["node-2", "pinned", false], ["node-3", "pinned", true]]);
    }, WITHIN);
    const { stdout } = await runCli(["cluster", "list", "--json", "--consul"], cluster.environment());
    const { nodes } = JSON.parse(stdout) as { nodes: { node: string; trust: string; detail: string | null }[] };
    expect(nodes.map(({ node, trust, detail }) => [node, trust, detail])).toEqual([
      ["node-1", "pinned", null], ["node-2", "pinned", "its state in KV: oversized: what lies below ibrl/v1/nodes/node-2/ is more than is read of a node"], ["node-3", "pinned", null],
    ]);
    for (const folder of [`nodes/${thief.name}/fill-`, `rotations/dc1/${thief.name}/`]) expect(await asThief(["DELETE", `/v1/kv/ibrl/v1/${folder}?recurse`])).toMatchObject({ status: 200 });
    await eventually(async () => expect(await listedNode(sidecarOf(reader), thief.name)).toMatchObject({ trust: "pinned", sealed_state: expect.any(String) as string }), WITHIN);
  }, 180_000);

  // Last: what a catalog says of a check that its agent holds for right is put right by Consul's full sync, after some 97 s here.
  test("call the victim's check critical: it looks dead, and its record is believed as before", async () => {
    const Check = { Node: victim.name, CheckID: "service:ibrl-beacon", ServiceID: "ibrl-beacon", Name: "IBRL sidecar", Status: "critical" };
    expect(await asThief(["PUT", "/v1/catalog/register", { ...(await victimsEntry()), Check }])).toMatchObject({ status: 200 });
    await eventually(async () => expect(await listedNode(sidecarOf(reader), victim.name)).toMatchObject({ trust: "pinned", alive: false, beacon: { beacon_node_id: victimsBeaconId } }), WITHIN);
  }, 90_000);
});
