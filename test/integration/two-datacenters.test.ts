/**
 * Consul datacenters joined over the WAN: nomad/routing/nearest.query.json goes on to another one where its own has no
 * instance that passes, and IBRL does not: a cluster is one datacenter, whatever its servers are joined to. Here all three
 * clusters have a node of the same name, in network namespaces of one network.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type LocalCluster, type LocalNode, startLocalCluster } from "../../src/dev/local-cluster.js";
import { projectRoot } from "../../src/dev/project-root.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { eventually, quiet, stopTestCluster, TEST_FOLDER_PREFIX, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { listed, sidecarOf } from "../harness/observe.js";

const DATACENTERS = ["dc1", "dc2", "dc3"] as const;
type Datacenter = (typeof DATACENTERS)[number];
const SERF_WAN = 8302;
const PORT = 8080;
const WITHIN = { timeoutMs: 60_000, everyMs: 250 };
const clusters: LocalCluster[] = [];
let folder: RunFolder;
let network: NamespaceNetwork;

const at = (datacenter: Datacenter): number => DATACENTERS.indexOf(datacenter);
const node = (datacenter: Datacenter): LocalNode => clusters[at(datacenter)]?.nodes[0] as LocalNode;
const address = (datacenter: Datacenter): string => network.nodes[at(datacenter)]?.address ?? "";

async function put(datacenter: Datacenter, path: string, body?: object): Promise<void> {
  expect(await node(datacenter).consul.request(path, { method: "PUT", ...(body && { body: JSON.stringify(body) }) })).toMatchObject({ ok: true });
}

/** The service `web`, passing until `say` says otherwise. */
const serve = (datacenter: Datacenter): Promise<void> =>
  put(datacenter, "/v1/agent/service/register", { ID: "web", Name: "web", Address: address(datacenter), Port: PORT, Check: { CheckID: "web", TTL: "1h", Status: "passing" } });
const say = (datacenter: Datacenter, word: "pass" | "fail"): Promise<void> => put(datacenter, `/v1/agent/check/${word}/web`);

interface Answer {
  Datacenter: string;
  Failovers: number;
  Nodes: { Service: { Address: string } }[];
}
/** [datacenter that answered, datacenters tried after the own one, addresses] */
async function byHttp(from: Datacenter): Promise<[string, number, ...string[]]> {
  const { Datacenter: datacenter, Failovers, Nodes } = await node(from).consul.getJson<Answer>("/v1/query/nearest-web/execute");
  return [datacenter, Failovers, ...Nodes.map(({ Service }) => Service.Address)];
}

/** As a host of the datacenter asks the agent beside it. */
async function byDns(from: Datacenter, type: "A" | "SRV"): Promise<string[]> {
  const stdout = await network.nodes[at(from)]!.exec("dig", `@${address(from)}`, "-p", String(node(from).consul.dnsPort), "+short", "nearest-web.query.consul", type);
  return stdout.trim().split("\n").filter((line) => line !== "");
}

/** HTTP and both kinds of DNS question lead to this datacenter's instance; null: to none. */
async function leads(from: Datacenter, to: Datacenter | null, failovers: number): Promise<void> {
  await eventually(async () => {
    if (to !== null) expect(await byHttp(from)).toEqual([to, failovers, address(to)]);
    else expect((await byHttp(from)).slice(1)).toEqual([failovers]);
    expect(await byDns(from, "A")).toEqual(to === null ? [] : [address(to)]);
    const services = await byDns(from, "SRV");
    if (to === null) expect(services).toEqual([]);
    else expect(services).toEqual([expect.stringMatching(new RegExp(`^1 1 ${String(PORT)} .*\\.addr\\.${to}\\.consul\\.$`)) as string]);
  }, WITHIN);
}

/** The others, in the order in which dc1 goes on to them: by Consul's coordinates, so on one machine either is first. */
async function tried(): Promise<[Datacenter, Datacenter]> {
  return eventually(async () => {
    const [datacenter, failovers] = await byHttp("dc1");
    expect([["dc2", "dc3"].includes(datacenter), failovers]).toEqual([true, 1]);
    return datacenter === "dc2" ? ["dc2", "dc3"] : ["dc3", "dc2"];
  }, WITHIN);
}

beforeAll(async () => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  await promisify(execFile)("dig", ["-v"]);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(DATACENTERS.length, folder);
  const encrypt = randomBytes(32).toString("base64");
  const wan = network.nodes.map((namespace) => `${namespace.address}:${String(SERF_WAN)}`);
  clusters.push(...(await Promise.all(DATACENTERS.map((datacenter, index) => startLocalCluster({
    nodes: 1,
    datacenter,
    folderPrefix: TEST_FOLDER_PREFIX,
    env: process.env,
    progress: quiet,
    placement: () => network.nodes[index]!.placement,
    consulConfig: () => ({ encrypt, ports: { serf_wan: SERF_WAN }, retry_join_wan: wan, retry_interval_wan: "1s" }),
    sidecarArgs: () => ["--beat=1s", "--insecure-bind"],
  })))));
  await eventually(async () => {
    for (const datacenter of DATACENTERS) expect((await node(datacenter).consul.getJson<string[]>("/v1/catalog/datacenters")).sort()).toEqual([...DATACENTERS]);
  }, WITHIN);
  const body = readFileSync(join(projectRoot(), "nomad/routing/nearest.query.json"), "utf8");
  // Consul keeps a query in its datacenter alone.
  for (const datacenter of ["dc1", "dc2"] as const) expect(await node(datacenter).consul.request("/v1/query", { method: "POST", body })).toMatchObject({ ok: true });
  for (const datacenter of DATACENTERS) await serve(datacenter);
}, 180_000);
afterAll(async () => {
  for (const cluster of clusters) await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

test("the prepared query that is shipped stays in its datacenter while an instance there passes, goes on to the others, and comes back", async () => {
  await leads("dc1", "dc1", 0);
  await say("dc1", "fail");
  const [nearest, next] = await tried();
  await leads("dc1", nearest, 1);
  await say(nearest, "fail");
  await leads("dc1", next, 2);
  await say(next, "fail");
  await leads("dc1", null, 2);
  for (const datacenter of DATACENTERS) await say(datacenter, "pass");
  await leads("dc1", "dc1", 0);
}, 120_000);

test("what IBRL knows stays in its datacenter: each sidecar lists its own node, of a name that all have, and nobody else", async () => {
  await eventually(async () => {
    for (const datacenter of DATACENTERS) {
      const states = await listed(sidecarOf(node(datacenter)));
      expect(states.map(({ node: { name, datacenter: of, ip }, trust }) => [name, of, ip, trust])).toEqual([["node-1", datacenter, address(datacenter), "pinned"]]);
    }
  }, WITHIN);
}, 90_000);

test("a datacenter whose server is dead is passed over", async () => {
  await say("dc1", "fail");
  const [nearest, next] = await tried();
  node(nearest).consul.kill();
  await eventually(async () => expect([(await byHttp("dc1"))[0], await byDns("dc1", "A")]).toEqual([next, [address(next)]]), WITHIN);
}, 90_000);
