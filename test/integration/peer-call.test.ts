/** Before work is sent to a node its sidecar is asked, where both speak mTLS: one that stands still is passed over while Consul still calls it well. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { runCli } from "../harness/built-cli.js";
import { type Certificate, TestCa } from "../harness/certificates.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { instances, sidecarCheck, sidecarOf } from "../harness/observe.js";

/** node-2 is the cheapest, node-3 the next. */
const PRICES = ["0.003", "0.001", "0.002"];
let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;
let caFile: string;
let certificate: Certificate;
let grpc: string;

beforeAll(async () => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(3, folder);
  const ca = new TestCa(folder.path, "peers");
  ({ caFile } = ca);
  certificate = ca.issue(...network.nodes.map(({ address }) => `IP:${address}`));
  cluster = await startTestCluster({
    nomad: true,
    placement: (index) => network.nodes[index]!.placement,
    sidecarArgs: (index) => [
      "--heartbeat-min=2s", "--insecure-bind", `--beacon-price=${PRICES[index] ?? ""}`,
      `--tls-cert-file=${certificate.certFile}`, `--tls-key-file=${certificate.keyFile}`, `--tls-client-ca-file=${caFile}`, "--tls-ports=grpc",
    ],
  });
  grpc = await network.nodes[0]!.forward(Number(sidecarOf(cluster.nodes[0]).grpcAddr.split(":")[1]));
}, 600_000);

afterAll(async () => {
  if (cluster !== undefined) sidecarOf(cluster.nodes[1]).kill("SIGCONT");
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

async function planned(): Promise<{ node: string; passedOver: { node: string; reason: string }[] }> {
  const policy = join(folder.path, "cheapest.json");
  writeFileSync(policy, JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } }));
  const tls = ["--tls-ca", caFile, "--tls-cert", certificate.certFile, "--tls-key", certificate.keyFile, "--tls-server-name", network.nodes[0]!.address];
  const { code, stdout, stderr } = await runCli(["cluster", "spawn", "--grpc-addr", grpc, ...tls, "--image-ref", "raw_exec:///bin/sleep?arg=60", "--cpu", "1", "--mem", "32", "--policy", policy, "--dry-run", "--json"], { IBRL_API_TOKEN_FILE: sidecarOf(cluster.nodes[0]).apiTokenFile });
  if (code !== 0) throw new Error(stdout + stderr);
  return JSON.parse(stdout) as Awaited<ReturnType<typeof planned>>;
}

test("the best node's sidecar stands still: its check passes, it does not answer, and the next best is chosen with the reason", async () => {
  const { consul } = cluster.nodes[0] as LocalNode;
  await eventually(async () => {
    expect((await instances(consul)).map(({ Service }) => Service.Port > 0)).toEqual([true, true, true]);
    expect(await planned()).toMatchObject({ node: "node-2", passedOver: [] });
  }, { timeoutMs: 90_000 });
  // Within the 15 s for which its last beat is good.
  sidecarOf(cluster.nodes[1]).kill("SIGSTOP");
  const chosen = await planned();
  expect(await sidecarCheck(consul, "node-2")).toBe("passing");
  expect(chosen).toMatchObject({ node: "node-3", passedOver: [{ node: "node-2", reason: expect.stringMatching(/^its sidecar at 10\.77\.0\.2:\d+ does not answer: /) as string }] });
  sidecarOf(cluster.nodes[1]).kill("SIGCONT");
  await eventually(async () => expect(await planned()).toMatchObject({ node: "node-2" }), { timeoutMs: 60_000 });
}, 180_000);
