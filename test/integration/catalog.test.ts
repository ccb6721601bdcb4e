/** The catalog is usable: what Consul's own CLI, its filters, its DNS and its KV show of the sidecars, with every period at its default. */
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { promisify } from "node:util";
import { BEACON, open, STATE, type OpenContext } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { instances, type Instance } from "../harness/observe.js";

/** Of node-3 alone: TEST-NET-1, so that it is nobody's address. */
const ADVERTISED = "192.0.2.30";
let cluster: LocalCluster;
let server: LocalNode;

beforeAll(async () => {
  cluster = await startTestCluster({
    nodes: 3,
    servers: 3,
    sidecarArgs: (index) => [
      ...(index === 1 ? ["--beacon-price=0.25", "--capability=gpu"] : []),
      ...(index === 2 ? [`--advertise-addr=${ADVERTISED}`] : []),
    ],
  });
  server = cluster.nodes[0] as LocalNode;
  await eventually(
    async () => {
      const all = await instances(server.consul);
      expect(namesOf(all)).toEqual(["node-1", "node-2", "node-3"]);
      expect(all.flatMap(({ Checks }) => Checks).every(({ Status }) => Status === "passing")).toBe(true);
    },
    { timeoutMs: 60_000 },
  );
}, 180_000);
afterAll(() => stopTestCluster(cluster), 60_000);

const namesOf = (all: readonly Instance[]): string[] => all.map(({ Node }) => Node.Node).sort();

async function instanceOf(name: string): Promise<Instance> {
  const found = (await instances(server.consul)).find(({ Node }) => Node.Node === name);
  if (found === undefined) throw new Error(`${name} has no instance`);
  return found;
}

/** The real program, asking the first node's agent. */
async function consul(...args: string[]): Promise<string> {
  const env = { PATH: process.env["PATH"], ...cluster.environment() };
  return (await promisify(execFile)(cluster.consulBinary.path, args, { env })).stdout;
}

const at = (node: string): OpenContext => ({ keys: new KeyAdmission(), nowMs: Date.now(), skewMs: 10_000, datacenter: "dc1", node });

test("`consul catalog nodes -service=ibrl-beacon` names every node with a sidecar", async () => {
  const [heading = "", ...rows] = (await consul("catalog", "nodes", "-service=ibrl-beacon")).trimEnd().split("\n");
  expect(heading.split(/\s+/)).toEqual(["Node", "ID", "Address", "DC"]);
  expect(rows.map((row) => row.split(/\s+/)[0])).toEqual(["node-1", "node-2", "node-3"]);
});

test("`consul catalog services -tags` shows what a node can be asked for by", async () => {
  const line = (await consul("catalog", "services", "-tags")).split("\n").find((row) => row.startsWith("ibrl-beacon "));
  expect(line?.split(/\s+/)[1]?.split(",")).toEqual(expect.arrayContaining(["sealed", "gpu"]));
});

describe("a catalog filter on ServiceMeta", () => {
  const filtered = async (filter: string): Promise<string[]> => {
    const found = await server.consul.getJson<{ Node: string }[]>(`/v1/catalog/service/ibrl-beacon?filter=${encodeURIComponent(filter)}`);
    return found.map(({ Node }) => Node).sort();
  };

  test("picks nodes by their price", async () => {
    expect(await filtered('ServiceMeta["ibrl-price-microusd"] == "250000"')).toEqual(["node-2"]);
    expect(await filtered('ServiceMeta["ibrl-price-microusd"] == "10000"')).toEqual(["node-1", "node-3"]);
    expect(await filtered('ServiceMeta["ibrl-price-microusd"] == "1"')).toEqual([]);
  });

  test("picks nodes by their latency class, whichever it is at the moment", async () => {
    await eventually(async () => {
      const classes = new Map((await instances(server.consul)).map(({ Node, Service }) => [Node.Node, Service.Meta["ibrl-class"] ?? ""]));
      expect(classes.size).toBe(3);
      const found = await Promise.all([...new Set(classes.values())].map((name) => filtered(`ServiceMeta["ibrl-class"] == "${name}"`)));
      expect(found.flat().sort()).toEqual(["node-1", "node-2", "node-3"]);
      for (const [node, name] of classes) expect(await filtered(`Node == "${node}" and ServiceMeta["ibrl-class"] == "${name}"`)).toEqual([node]);
      expect(await filtered('ServiceMeta["ibrl-class"] == "latency-over"')).toEqual([]);
    });
  });
});

describe("DNS", () => {
  const resolver = new Resolver({ timeout: 5_000, tries: 3 });
  beforeAll(() => resolver.setServers([`${server.consul.address}:${String(server.consul.dnsPort)}`]));
  const addresses = async (name: string): Promise<string[]> => (await resolver.resolve4(name)).sort();
  const everyAddress = (): string[] => [...cluster.nodes.slice(0, 2).map(({ address }) => address), ADVERTISED].sort();

  test.each(["ibrl-beacon.service.consul", "sealed.ibrl-beacon.service.consul", "sealed.ibrl-beacon.service.dc1.consul"])(
    "%s answers with the service address of every node",
    async (name) => expect(await addresses(name)).toEqual(everyAddress()),
  );

  test("a capability is a name of the nodes that have it, and of no other", async () => {
    expect(await addresses("gpu.ibrl-beacon.service.consul")).toEqual([cluster.nodes[1]?.address]);
    await expect(addresses("tpu.ibrl-beacon.service.consul")).rejects.toMatchObject({ code: "ENOTFOUND" });
  });

  test("a latency class is a name too", async () => {
    await eventually(async () => {
      const { Service } = await instanceOf("node-2");
      expect(await addresses(`${Service.Meta["ibrl-class"] ?? ""}.ibrl-beacon.service.consul`)).toContain(Service.Address);
    });
  });
});

test("the service address is the agent's, or the one of --advertise-addr; the port is 0 while gRPC is on loopback", async () => {
  // The catalog's answer: the health one leaves out a port of 0.
  const found = await server.consul.getJson<{ Node: string; ServiceAddress: string; ServicePort: number }[]>("/v1/catalog/service/ibrl-beacon");
  const places = found.map(({ Node, ServiceAddress, ServicePort }) => [Node, ServiceAddress, ServicePort] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  expect(places).toEqual([
    ["node-1", cluster.nodes[0]?.address, 0],
    ["node-2", cluster.nodes[1]?.address, 0],
    ["node-3", ADVERTISED, 0],
  ]);
});

test("the meta is the sealed beacon and its headline numbers, and says nothing that is not sealed", async () => {
  const { Service } = await instanceOf("node-2");
  const opened = open(BEACON, Buffer.from(Service.Meta["ibrl-beacon"] ?? "", "base64"), at("node-2"));
  if (!opened.ok) throw new Error(opened.detail);
  const { record, sealed } = opened.verified;
  expect(sealed.length).toBeLessThanOrEqual(180);
  expect(Service.Meta["ibrl-beacon"]?.length).toBeLessThanOrEqual(512);
  expect(record).toMatchObject({ node: "node-2", datacenter: "dc1", priceMicroUsdPerGb: 250_000 });
  expect(Service.Tags).toEqual(["sealed", Service.Meta["ibrl-class"], ...record.capabilities]);
  expect(Service.Meta["ibrl-latency-us"]).toBe(record.latency === undefined ? undefined : String(record.latency.us));
  expect(Service.Meta["ibrl-queue"]).toBe(String(record.queueDepth));
  // What is unknown has no key, which a filter could take for a value.
  expect("ibrl-jitter-us" in Service.Meta).toBe(record.jitterUs !== undefined);
  expect("ibrl-loss-ppm" in Service.Meta).toBe(record.lossRatio !== undefined);
});

test("the KV state is a document that a person can read, and its sealed bytes say the same", async () => {
  const text = await consul("kv", "get", "ibrl/v1/nodes/node-3/state");
  const document = JSON.parse(text) as { v: number; state: Record<string, unknown>; sealed: string };
  expect(text.split("\n").length).toBeGreaterThan(5);
  expect(Object.keys(document)).toEqual(["v", "state", "sealed"]);
  const opened = open(STATE, Buffer.from(document.sealed, "base64"), at("node-3"));
  if (!opened.ok) throw new Error(opened.detail);
  const { record, beaconId } = opened.verified;
  const { Node } = await instanceOf("node-3");
  expect(document).toMatchObject({
    v: 1,
    state: {
      node: "node-3", datacenter: "dc1", nodeId: Node.ID, address: ADVERTISED, beaconId, epoch: 1, sequence: record.sequence,
      issuedAt: new Date(record.issuedAtMs).toISOString(), validitySeconds: 300,
      workloads: null, // no Nomad to ask: unknown, which is not none
    },
  });
});

test("the pins in KV name each node's key, and the key is the one that signs", async () => {
  for (const { name } of cluster.nodes) {
    const pin = JSON.parse(await consul("kv", "get", `ibrl/v1/pins/dc1/${name}`)) as object;
    const opened = open(BEACON, Buffer.from((await instanceOf(name)).Service.Meta["ibrl-beacon"] ?? "", "base64"), at(name));
    if (!opened.ok) throw new Error(opened.detail);
    expect(pin).toEqual({ v: 1, node: name, datacenter: "dc1", publicKey: opened.verified.key.hex });
  }
});

test("what the agent checks is the sidecar's own word, with a constant text", async () => {
  const { Checks } = await instanceOf("node-1");
  const check = Checks.find(({ CheckID }) => CheckID === "service:ibrl-beacon");
  expect(check).toMatchObject({ Status: "passing", Output: "sidecar is running" });
});
