/**
 * Two clusters and a beacon network that runs on one of them: `hypercore beacon serve`, as a user starts it, over mTLS, with
 * a secured Consul as its store and the shipped policy.
 */
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { allowListDocument, ALLOW_LIST } from "../../src/beacon/allow-list.js";
import { BEACON, openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type LocalCluster, startLocalCluster } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import type { SidecarProcess } from "../../src/dev/sidecar-process.js";
import { openDecision } from "../../src/policy/decision-document.js";
import { callSidecar, listNodes } from "../../src/sidecar/api/client.js";
import { BeaconNetworkDefinition } from "../../src/sidecar/api/service-definition.js";
import { readIdentity } from "../../src/sidecar/state/identity.js";
import { runCli, startCli } from "../harness/built-cli.js";
import { type Certificate, TestCa } from "../harness/certificates.js";
import { eventually, policyOf, quiet, SHIPPED_RULES, stopTestCluster, TEST_FIRST_SHIFT, TEST_FOLDER_PREFIX, testRunFolder } from "../harness/cluster.js";
import { listed, metric, sidecarOf } from "../harness/observe.js";
import { identity } from "../harness/records.js";

const OPERATOR = identity(77);
const WAIT = { timeoutMs: 90_000 };
let folder: RunFolder;
const clusters: LocalCluster[] = [];
let network: ChildProcess | undefined;
let ports: { grpc: number; http: number };
let caFile: string;
let certificate: Certificate;

beforeAll(async () => {
  folder = testRunFolder();
  const [grpc = 0, http = 0] = await Promise.all([freePort(), freePort()]);
  ports = { grpc, http };
  const ca = new TestCa(folder.path, "network-ca");
  ({ caFile } = ca);
  certificate = ca.issue("IP:127.0.0.1");
  for (const datacenter of ["dc1", "dc2"]) {
    clusters.push(await startLocalCluster({
      nodes: 1, datacenter, firstShift: TEST_FIRST_SHIFT, folderPrefix: TEST_FOLDER_PREFIX, env: process.env, progress: quiet,
      ...(datacenter === "dc1" && { secured: { ...SHIPPED_RULES, reader: policyOf("network") } }),
      sidecarArgs: () => [
        "--beat=1s", `--beacon-endpoint=grpcs://127.0.0.1:${String(grpc)}`,
        `--beacon-ca-file=${caFile}`, `--beacon-cert-file=${certificate.certFile}`, `--beacon-key-file=${certificate.keyFile}`,
      ],
    }));
  }
}, 900_000);
afterAll(async () => {
  await stopNetwork();
  for (const cluster of clusters) await stopTestCluster(cluster);
  await folder?.remove();
}, 120_000);

const sidecar = (cluster: 0 | 1): SidecarProcess => sidecarOf(clusters[cluster]?.nodes[0]);
const trustOf = async (cluster: 0 | 1) => Object.fromEntries((await listed(sidecar(cluster))).map(({ node, trust }) => [node.name, trust]));
const gauges = async (cluster: 0 | 1) => [await metric(sidecar(cluster), "hypercore_ibrl_beacon_connected"), await sidecar(cluster).getJson("/readyz")];

/** What `hypercore trust allow` signs, for the cluster's one node. */
function allowList(cluster: 0 | 1, serial = 1, names: readonly string[] = ["node-1"]): string {
  const datacenter = `dc${String(cluster + 1)}`;
  const publicKey = Buffer.from(readIdentity(sidecar(cluster).stateFolder)?.publicKey ?? []).toString("hex");
  const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, { datacenter, serial, issuedAtMs: Date.now(), nodes: names.map((node) => ({ node, publicKey })) }, OPERATOR), new KeyAdmission());
  if (!opened.ok) throw new Error(opened.detail);
  const path = join(folder.path, `${datacenter}.list`);
  writeFileSync(path, allowListDocument(opened.signed));
  return path;
}

async function startNetwork(admit: readonly string[]): Promise<void> {
  network = await serve("network", admit, ports);
}

/** A server of the network, each with a folder and a key of its own. */
async function serve(name: string, admit: readonly string[], { grpc, http }: typeof ports): Promise<ChildProcess> {
  const server = startCli([
    "beacon", "serve", `--state-dir=${join(folder.path, name)}`, `--operator-key=${Buffer.from(OPERATOR.publicKey).toString("hex")}`,
    ...admit.map((path) => `--admit=${path}`), `--grpc-bind-addr=127.0.0.1:${String(grpc)}`, `--http-bind-addr=127.0.0.1:${String(http)}`,
    `--tls-cert-file=${certificate.certFile}`, `--tls-key-file=${certificate.keyFile}`, `--tls-client-ca-file=${caFile}`, "--tls-ports=grpc",
  ], { ...clusters[0]?.security?.readerEnv, CONSUL_HTTP_ADDR: `https://${clusters[0]?.nodes[0]?.consul.httpAddr ?? ""}` });
  server.stdout?.resume();
  server.stderr?.resume();
  await eventually(async () => expect(await (await fetch(`http://127.0.0.1:${String(http)}/readyz`)).json()).toMatchObject({ consul: "connected" }), WAIT);
  return server;
}

async function stopNetwork(server = network): Promise<void> {
  if (server === undefined || server.exitCode !== null) return;
  server.kill("SIGTERM");
  await once(server, "exit");
}

const networkMetrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${String(ports.http)}/metrics`)).text();

test("without the network both work alone, and say so", async () => {
  await eventually(async () => {
    expect(await gauges(0)).toEqual([0, { ready: true, consul: "connected", standalone: false, beaconNetwork: "unreachable" }]);
    expect(await trustOf(0)).toEqual({ "node-1": "pinned" });
  }, WAIT);
}, 100_000);

test("each cluster sees the other's node as federated, verified again by the client that asks", async () => {
  await startNetwork([allowList(0), allowList(1)]);
  await eventually(async () => {
    expect(await trustOf(0)).toEqual({ "node-1": "pinned", "node-1.dc2": "federated" });
    expect(await trustOf(1)).toEqual({ "node-1": "pinned", "node-1.dc1": "federated" });
    expect(await gauges(1)).toEqual([1, { ready: true, consul: "connected", standalone: false, beaconNetwork: "connected" }]);
  }, WAIT);
  const views = await listNodes({ address: sidecar(0).grpcAddr, keys: new KeyAdmission() });
  const other = views.find(({ name }) => name === "node-1.dc2");
  expect(other).toMatchObject({ trust: "federated", datacenter: "dc2", beacon: { record: { node: "node-1", datacenter: "dc2" } } });
  expect(other?.beacon?.key.bytes).toEqual(readIdentity(sidecar(1).stateFolder)?.publicKey);
  await eventually(async () => expect(await metric(sidecar(0), "hypercore_ibrl_nodes", { trust: "federated" })).toBe(1), WAIT);
}, 120_000);

test("a policy uses the other cluster's node, or refuses it, as it says", async () => {
  const ranked = async (federated: string) => {
    const path = join(folder.path, `${federated}.json`);
    writeFileSync(path, JSON.stringify({ version: 2, name: federated, mode: "enforce", federated, unknown: { latency: "neutral", reputation: "neutral", queue_depth: "neutral" } }));
    return runCli(["policy", "rank", path, "--grpc-addr", sidecar(0).grpcAddr, "--json"]);
  };
  const used = await ranked("use");
  expect(used).toMatchObject({ code: 0 });
  expect(statuses(used.stdout)).toEqual({ "node-1": "eligible", "node-1.dc2": "eligible" });
  expect(statuses((await ranked("refuse")).stdout)).toEqual({ "node-1": "eligible", "node-1.dc2": "excluded" });

  // The network orders all members' nodes, for whoever has a certificate.
  const policy = readFileSync(join(folder.path, "use.json"));
  const { name, value } = await callSidecar(BeaconNetworkDefinition.QueryPolicy, { policy }, { address: `127.0.0.1:${String(ports.grpc)}`, tls: { ca: readFileSync(caFile), cert: certificate.cert, key: certificate.key } });
  const opened = openDecision(name ?? "", value ?? new Uint8Array(), new KeyAdmission());
  expect(opened.ok ? opened.signed.record.candidates.map(({ facts }) => facts.node).sort((a, b) => (a < b ? -1 : 1)) : opened).toEqual(["node-1.dc1", "node-1.dc2"]);
  const huge = callSidecar(BeaconNetworkDefinition.VerifyProof, { file: Buffer.alloc(600 * 1024) }, { address: `127.0.0.1:${String(ports.grpc)}`, tls: { ca: readFileSync(caFile), cert: certificate.cert, key: certificate.key } });
  await expect(huge).rejects.toThrow("oversized: 614400 bytes; at most 524288");
  expect(await networkMetrics()).toContain('hypercore_ibrl_network_refused_total{reason="oversized"} 1\n');
  expect(await networkMetrics()).toContain('hypercore_ibrl_network_calls_total{method="VerifyProof",code="INVALID_ARGUMENT"} 1\n');
}, 60_000);

test("a second server on the same Consul lists whom nobody stated to it; a list that is exchanged counts without a restart, an older one does not", async () => {
  const [grpc, http] = await Promise.all([freePort(), freePort()]);
  const second = await serve("second", [join(folder.path, "dc1.list"), join(folder.path, "dc2.list")], { grpc, http });
  try {
    const tls = { ca: readFileSync(caFile), cert: certificate.cert, key: certificate.key };
    const listedBy = async (port: number) => {
      const { nodes } = await callSidecar(BeaconNetworkDefinition.ListNodes, {}, { address: `127.0.0.1:${String(port)}`, tls });
      return (nodes ?? []).map(({ sealed_beacon: sealed }) => {
        const opened = openStatement(BEACON, sealed ?? new Uint8Array(), new KeyAdmission());
        return opened.ok ? `${opened.signed.record.node}.${opened.signed.record.datacenter}` : opened.reason;
      });
    };
    const both = ["node-1.dc1", "node-1.dc2"];
    await eventually(async () => expect(await listedBy(grpc)).toEqual(both), WAIT);
    allowList(1, 2, []); // dc2's operator takes the node off
    await eventually(async () => expect([await listedBy(ports.grpc), await listedBy(grpc)]).toEqual([["node-1.dc1"], ["node-1.dc1"]]), WAIT);
    await eventually(async () => expect(await networkMetrics()).toMatch(/hypercore_ibrl_network_refused_total\{reason="unknown-node"\} [1-9]/), WAIT);
    allowList(1, 1); // the older list, which somebody kept
    await sleep(5_000); // more than two looks at it
    expect(await listedBy(ports.grpc)).toEqual(["node-1.dc1"]);
    allowList(1, 3);
    await eventually(async () => expect([await listedBy(ports.grpc), await listedBy(grpc)]).toEqual([both, both]), WAIT);
  } finally {
    await stopNetwork(second);
  }
}, 150_000);

test("the network gone: local work goes on, the metric tells; back again, without one cluster's list, it knows the rest from KV and refuses whom nobody names", async () => {
  await stopNetwork();
  await eventually(async () => {
    expect((await gauges(0))[0]).toBe(0);
    expect((await trustOf(0))["node-1"]).toBe("pinned");
  }, WAIT);
  const stored = await clusters[0]?.nodes[0]?.consul.getJson<{ Key: string }[]>("/v1/kv/ibrl/v1/network/nodes?recurse");
  expect(stored?.map(({ Key }) => Key)).toEqual(["ibrl/v1/network/nodes/dc1/node-1", "ibrl/v1/network/nodes/dc2/node-1"]);
  await startNetwork([join(folder.path, "dc1.list")]);
  await eventually(async () => {
    expect((await gauges(0))[0]).toBe(1);
    expect((await gauges(1))[0]).toBe(0);
    expect(await networkMetrics()).toMatch(/hypercore_ibrl_network_refused_total\{reason="unknown-node"\} [1-9]/);
    expect(await networkMetrics()).toContain("hypercore_ibrl_network_nodes 1\n");
    expect(await trustOf(0)).toEqual({ "node-1": "pinned" });
  }, WAIT);
  expect(readFileSync(sidecar(1).logFile, "utf8")).toContain("unknown-node");
}, 150_000);

function statuses(json: string): Record<string, string> {
  const { nodes } = JSON.parse(json) as { nodes: { node: string; status: string }[] };
  return Object.fromEntries(nodes.map(({ node, status }) => [node, status]));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
