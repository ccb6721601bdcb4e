/**
 * What a workload exchanged, counted by the kernels of both ends, in network namespaces: signed statements of each period, their
 * amounts, what peers confirm, the file that verifies without a network, and the same bytes in the proof of what ran.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { UsageDocument } from "../../src/commands/views/usage.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { projectRoot } from "../../src/dev/project-root.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { readIdentity } from "../../src/sidecar/state/identity.js";
import { WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { plainEnvironment, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { metric, sidecarOf } from "../harness/observe.js";

const TEST_MS = 120_000;
/** Debian's containernetworking-plugins. */
const CNI = "/usr/lib/cni";
const PERIOD_MS = 10_000;
const MB = 1_000_000;
/** Millionths of a dollar for 10^9 bytes; node-1 is the cheapest. */
const PRICES = [10_000, 20_000, 30_000];
const policy = Buffer.from(JSON.stringify({ version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } }));
/** Answers a GET with as many bytes as it is asked for, and a POST when it has read it. */
const SERVER = `require("http").createServer((q, r) => { let n = 0; q.on("data", (d) => { n += d.length; }); q.on("end", () => r.end(q.method === "POST" ? String(n) : Buffer.alloc(Number(q.url.slice(1))))); }).listen(process.env.NOMAD_PORT_p80, process.env.NOMAD_IP_p80)`;

let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;
let client: WorkloadClient | undefined;
let grpc = "";

beforeAll(async () => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(4, folder); // the fourth has a client that is no node
  cluster = await startTestCluster({
    nomad: true,
    nomadConfig: () => ({ client: { network_interface: "eth0", cni_path: CNI } }), // ports are the node's own, not loopback's
    placement: (index) => network.nodes[index]!.placement,
    sidecarArgs: (index) => [
      "--beat=500ms", "--heartbeat-min=2s", "--probe-interval=200ms", "--insecure-bind", "--proof-interval=1s", `--usage-period=${String(PERIOD_MS)}ms`,
      `--beacon-price=${String((PRICES[index] ?? 0) / 1e6)}`,
    ],
  });
  const { grpcAddr, apiTokenFile } = sidecarOf(node(0));
  grpc = await network.nodes[0]!.forward(Number(grpcAddr.split(":")[1]));
  client = new WorkloadClient(grpc, { apiToken: readFileSync(apiTokenFile, "utf8").trim() });
}, 600_000);

afterAll(async () => {
  client?.close();
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const tables = (index: number): Promise<string> => network.nodes[index]!.exec("nft", "list", "tables");
const get = (from: number, url: string, bytes: number): Promise<string> => network.nodes[from]!.exec("curl", "-sf", "-o", "/dev/null", `${url}/${String(bytes)}`);

async function usage(...more: string[]): Promise<UsageDocument & { code: number | null }> {
  const { code, stdout, stderr } = await runCli(["cluster", "usage", "--grpc-addr", grpc, "--json", ...more]);
  if (stdout === "") throw new Error(stderr);
  return { code, ...(JSON.parse(stdout) as UsageDocument) };
}

async function spawnServer(port: number): Promise<{ id: string; allocation: string; url: string }> {
  const image_ref = `raw_exec://${encodeURI(process.execPath)}?arg=-e&arg=${encodeURIComponent(SERVER)}`;
  const { id, allocation_id: allocation, node: at } = await (client as WorkloadClient).spawn({ image_ref, cores: 1, memory: 64, policy, ports: { [port]: 80 } }, 60_000);
  expect(at).toBe("node-1");
  const url = `http://${network.nodes[0]!.address}:${String(port)}`;
  return { id: id ?? "", allocation: allocation ?? "", url };
}

test("bytes in and out of a workload are counted at both ends, by period, and cost what the node's price says; the statements verify without a network", async () => {
  await eventually(async () => expect(await Promise.all(cluster.nodes.map((each) => metric(sidecarOf(each), "hypercore_ibrl_traffic_metered")))).toEqual([1, 1, 1]));
  await eventually(async () => {
    const { stdout } = await runCli(["cluster", "links", "--grpc-addr", grpc, "--json"]);
    const { links } = JSON.parse(stdout) as { links: { state: string }[] };
    expect(links.filter(({ state }) => state === "agreed")).toHaveLength(3);
  }, { timeoutMs: 60_000 });
  const { id, allocation, url } = await eventually(() => spawnServer(28_080), { timeoutMs: 60_000 });
  await eventually(() => get(1, url, 1));
  // Until both peers have read in its signed state where the workload is reached.
  await eventually(async () => expect(await network.nodes[1]!.exec("sh", "-c", "nft list ruleset | grep -c '10.77.0.1 . 28080 . 10.77.0.2'")).toBe("2\n"), { timeoutMs: 60_000 });
  await eventually(async () => expect(await network.nodes[2]!.exec("sh", "-c", "nft list ruleset | grep -c '10.77.0.1 . 28080 . 10.77.0.3'")).toBe("2\n"), { timeoutMs: 60_000 });
  const heardAtMs = Date.now();

  const upload = join(folder.path, "upload");
  writeFileSync(upload, randomBytes(2 * MB));
  for (let i = 0; i < 5; i++) await get(1, url, 4 * MB); // 20 MB to node-2
  await get(2, url, 3 * MB); // to node-3
  expect(await network.nodes[2]!.exec("curl", "-sf", "--data-binary", `@${upload}`, url)).toBe(String(2 * MB));
  await get(3, url, 5 * MB); // to somebody who is no node
  const carriedAtMs = Date.now();

  // All periods in which something was exchanged have ended, at every node, and stand in KV.
  const document = await eventually(async () => {
    const all = await usage("--workload", id);
    const last = Math.max(...all.statements.filter(({ node: of, ended }) => of === "node-1" && ended).map(({ until }) => Date.parse(until)));
    expect(last).toBeGreaterThan(carriedAtMs);
    const from = new Date(heardAtMs - (heardAtMs % PERIOD_MS)).toISOString();
    const pairs = all.pairs.filter(({ period, bytesIn, bytesOut }) => period >= from && bytesIn + bytesOut > 1_000);
    expect(pairs.length).toBeGreaterThanOrEqual(2);
    expect(pairs.filter(({ verdict }) => verdict === "open")).toEqual([]);
    return all;
  }, { timeoutMs: 60_000 });

  expect(document).toMatchObject({ code: 0, rejected: [], broken: [] });
  const { total } = document;
  // Payload, and headers of at most 10 %.
  expect(total.bytesOut).toBeGreaterThan(28 * MB);
  expect(total.bytesOut).toBeLessThan(28 * MB * 1.1);
  expect(total.bytesIn).toBeGreaterThan(2 * MB);
  expect(total.bytesIn).toBeLessThan(2 * MB * 1.1 + 500_000);
  const femto = (BigInt(total.bytesIn) + BigInt(total.bytesOut)) * BigInt(PRICES[0] ?? 0);
  expect(Number(total.amountUsd)).toBeCloseTo(Number(femto) / 1e15, 12);
  // What its peers counted is nearly all of it, but for the stranger's.
  const of = (peer: string) => document.pairs.filter((pair) => pair.peer === peer);
  const sum = (peer: string, way: "bytesIn" | "bytesOut") => of(peer).reduce((bytes, pair) => bytes + (pair.seen?.[way] ?? 0), 0);
  expect(sum("node-2", "bytesOut")).toBeGreaterThan(20 * MB);
  expect(sum("node-3", "bytesOut")).toBeGreaterThan(3 * MB);
  expect(sum("node-3", "bytesIn")).toBeGreaterThan(2 * MB);
  expect(of("node-2").filter(({ verdict }) => verdict === "agreed").length).toBeGreaterThan(0);
  expect(document.pairs.filter(({ verdict }) => verdict === "differs")).toEqual([]);
  expect(total.confirmed.bytesOut).toBeGreaterThan(23 * MB);
  expect(total.confirmed.bytesOut).toBeLessThan(total.bytesOut - 5 * MB);

  // The schema, the CSV, and another reader, who asks no sidecar.
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": true } }).compile(JSON.parse(readFileSync(join(projectRoot(), "schemas/cluster-usage.schema.json"), "utf8")) as object);
  const { code: _, ...printed } = document;
  expect({ valid: validate(printed), errors: validate.errors }).toEqual({ valid: true, errors: null });
  const csv = await runCli(["cluster", "usage", "--grpc-addr", grpc, "--csv", "--by", "node,workload", "--workload", id]);
  const [headings = "", line = ""] = csv.stdout.split("\r\n");
  const cell = (name: string) => line.split(",")[headings.split(",").indexOf(name)];
  expect([cell("node"), cell("workload"), cell("price_usd_per_gb")]).toEqual(["node-1", id, "0.01"]);
  expect(Number(cell("bytes_out"))).toBeGreaterThan(28 * MB);
  const text = await runCli(["cluster", "usage", "--by", "node", "--grpc-addr", grpc]);
  expect(text.stdout).toMatch(/NODE +IN +OUT +PRICE\/GB +AMOUNT +CONFIRMED +PEERS\nnode-1 +2\.\d\d MB +\d\d\.\d MB +\$0\.01 +\$0\.000\d+/);

  // The node's own folder has the same, though not what the peers say.
  const kept = JSON.parse((await runCli(["cluster", "usage", "--state-dir", sidecarOf(node(0)).stateFolder, "--workload", id, "--json"])).stdout) as UsageDocument;
  expect(kept.total).toMatchObject({ bytesOut: (await usage("--workload", id)).total.bytesOut, confirmed: { bytesOut: 0 } });

  // The file, where there is no network at all.
  const file = join(folder.path, "usage.json");
  expect((await runCli(["cluster", "usage", "--grpc-addr", grpc, "--workload", id, "--json", "-o", file])).code).toBe(0);
  const listed = JSON.parse((await runCli(["cluster", "metrics", "--grpc-addr", grpc, "--json"])).stdout) as { nodes: { node: string; publicKey: string }[] };
  const keys = join(folder.path, "keys");
  writeFileSync(keys, listed.nodes.map(({ publicKey }) => publicKey).join("\n"));
  const alone = await promisify(execFile)("unshare", [process.geteuid?.() === 0 ? "-n" : "-Urn", process.execPath, join(projectRoot(), "bin/run.js"), "cluster", "usage", "--from", file, "--trust", keys, "--workload", id, "--json"], { env: plainEnvironment(), maxBuffer: 64 * MB });
  expect((JSON.parse(alone.stdout) as UsageDocument).total).toMatchObject({ bytesOut: (JSON.parse(readFileSync(file, "utf8")) as UsageDocument).total.bytesOut });
  // Without node-1's key, and with a byte of its statement changed, nothing of it counts.
  const others = listed.nodes.filter((each) => each.node !== "node-1").flatMap(({ publicKey }) => ["--trust", publicKey]);
  const strange = await runCli(["cluster", "usage", "--from", file, ...others, "--workload", id, "--json"]);
  expect(strange.code).toBe(3);
  expect((JSON.parse(strange.stdout) as UsageDocument).rows).toEqual([]);
  const changed = JSON.parse(readFileSync(file, "utf8")) as UsageDocument;
  const carrying = changed.statements.find(({ sha256 }) => changed.rows.some(({ bytesOut, statements }) => bytesOut > 100_000 && statements.includes(sha256)));
  const bytes = Buffer.from(carrying?.sealed ?? "", "base64");
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  carrying!.sealed = bytes.toString("base64");
  writeFileSync(file, JSON.stringify(changed));
  const tampered = await runCli(["cluster", "usage", "--from", file, "--trust", keys, "--json"]);
  expect(tampered.code).toBe(3);
  expect((JSON.parse(tampered.stdout) as UsageDocument).rejected).toHaveLength(1);

  // The proof of what ran says the same bytes.
  await (client as WorkloadClient).stop(id, 60_000);
  const state = { IBRL_STATE_DIR: sidecarOf(node(0)).stateFolder };
  const proof = join(folder.path, "proof.json");
  const proved = await eventually(async () => {
    expect((await runCli(["proof", "export", allocation, "-o", proof], state)).code).toBe(0);
    const verified = JSON.parse((await runCli(["proof", "verify", proof, "--trust", keys, "--json"])).stdout) as { verified: boolean; chains: { ended: string | null; traffic: { bytesIn: number; bytesOut: number; meteredMs: number } | null; watchedMs: number }[] };
    expect(verified).toMatchObject({ verified: true, chains: [{ ended: "complete" }] });
    return verified.chains[0];
  }, { timeoutMs: 60_000 });
  const after = await usage("--workload", allocation, "--by", "allocation");
  expect(proved?.traffic).toMatchObject({ bytesOut: after.total.bytesOut, bytesIn: after.total.bytesIn });
  expect(proved?.traffic?.meteredMs).toBeLessThanOrEqual(proved?.watchedMs ?? 0);
}, 2 * TEST_MS);

const withBridge = process.geteuid?.() === 0 && existsSync(join(CNI, "bridge")) ? test : test.skip; // exec, and the plug-ins of bridges
withBridge("an allocation with a network of its own is counted by its address: what it asks for itself too; its peers by its host port", async () => {
  const serve = `import http.server as h, urllib.request as u
class H(h.BaseHTTPRequestHandler):
  def do_GET(s):
    n = int(s.path[1:])
    if n == 0: u.urlopen("http://${network.nodes[3]!.address}:8000/fetched").read()
    s.send_response(200); s.send_header("Content-Length", str(n)); s.end_headers(); s.wfile.write(b"x" * n)
h.HTTPServer(("0.0.0.0", 8080), H).serve_forever()`;
  const job = {
    ID: "bridged", Name: "bridged", Type: "service", Datacenters: ["*"], Constraints: [{ LTarget: "${node.unique.name}", RTarget: "node-1", Operand: "=" }],
    TaskGroups: [{
      Name: "g", Networks: [{ Mode: "bridge", ReservedPorts: [{ Label: "http", Value: 28_090, To: 8_080 }] }],
      Tasks: [{ Name: "t", Driver: "exec", Config: { command: "/usr/bin/python3", args: ["-c", serve] }, Resources: { CPU: 100, MemoryMB: 64 } }],
    }],
  };
  // What it fetches from outside of the cluster.
  writeFileSync(join(folder.path, "fetched"), Buffer.alloc(4 * MB));
  await network.nodes[3]!.start("outside", "python3", "-m", "http.server", "--directory", folder.path);
  const { httpAddr } = node(0).nomad!;
  await network.nodes[0]!.exec("curl", "-sf", "-X", "POST", "-d", JSON.stringify({ Job: job }), `http://${httpAddr}/v1/jobs`);
  const url = `http://${network.nodes[0]!.address}:28090`;
  await eventually(() => get(1, url, 1), { timeoutMs: 60_000 });
  await eventually(async () => expect(await network.nodes[1]!.exec("sh", "-c", "nft list ruleset | grep -c '10.77.0.1 . 28090 . 10.77.0.2'")).toBe("2\n"), { timeoutMs: 60_000 });
  await get(1, url, 6 * MB);
  await get(1, url, 0);
  const document = await eventually(async () => {
    const all = await usage("--workload", "bridged", "--by", "workload");
    expect(all.total.bytesOut).toBeGreaterThan(6 * MB);
    expect(all.pairs.filter(({ bytesOut, verdict }) => bytesOut > MB && verdict === "agreed").length).toBeGreaterThan(0);
    return all;
  }, { timeoutMs: 60_000 });
  expect(document.total.bytesOut).toBeLessThan(6 * MB * 1.1);
  expect(document.total.bytesIn).toBeGreaterThan(4 * MB);
  expect(document.total.bytesIn).toBeLessThan(4 * MB * 1.1 + 500_000);
  expect(document.total.confirmed.bytesIn).toBeLessThan(MB); // nobody else saw what it fetched
  await network.nodes[0]!.exec("curl", "-sf", "-X", "DELETE", `http://${httpAddr}/v1/job/bridged`);
  await eventually(() => expect(readdirSync("/var/run/netns")).not.toContain(document.pairs[0]?.allocation), { timeoutMs: 60_000 });
}, TEST_MS);

test("a Nomad agent that is killed is a gap in the proof, with its reason, over which the kernel counts on; the chain goes on with its return", async () => {
  const { allocation, id, url } = await eventually(() => spawnServer(28_082), { timeoutMs: 60_000 });
  const proof = join(folder.path, "gap.json");
  const key = Buffer.from(readIdentity(sidecarOf(node(0)).stateFolder)?.publicKey ?? []).toString("hex");
  const proved = async () => {
    expect((await runCli(["proof", "export", allocation, "-o", proof], { IBRL_STATE_DIR: sidecarOf(node(0)).stateFolder })).code).toBe(0);
    const { code, stdout } = await runCli(["proof", "verify", proof, "--trust", key, "--json"]);
    expect(code).toBe(0);
    return (JSON.parse(stdout) as { chains: [{ gaps: { reason: string; ms: number }[]; traffic: { bytesOut: number } | null; restarts: number; ended: string | null; memory: { maxBytes: number | null } }] }).chains[0];
  };
  await eventually(async () => expect((await proved()).traffic?.bytesOut).toBeDefined(), { timeoutMs: 60_000 });
  node(0).nomad!.kill("SIGKILL");
  await sleep(5_000); // five periods
  await get(1, url, 9 * MB); // the workload lives on
  await node(0).nomad!.restart();
  await eventually(async () => expect(await proved()).toMatchObject({ gaps: [{ reason: "no-answer", ms: expect.any(Number) as number }], restarts: 0, ended: null }), { timeoutMs: 60_000 });
  await eventually(async () => expect((await proved()).traffic?.bytesOut).toBeGreaterThan(9 * MB), { timeoutMs: 60_000 });
  expect((await proved()).memory.maxBytes).toBeGreaterThan(MB);
  await (client as WorkloadClient).stop(id, 60_000);
}, TEST_MS);

test("a killed sidecar leaves no table in the kernel; started again it goes on with the period's statement, and its chain of them is unbroken", async () => {
  const { id, url } = await eventually(() => spawnServer(28_081), { timeoutMs: 60_000 });
  await eventually(() => get(1, url, MB));
  const statement = async () => (await usage("--workload", id, "--by", "workload")).total.bytesOut;
  await eventually(async () => expect(await statement()).toBeGreaterThan(MB), { timeoutMs: 60_000 });
  sidecarOf(node(0)).kill("SIGKILL");
  await eventually(async () => expect(await tables(0)).not.toContain("ibrl_"));
  await get(1, url, 7 * MB); // nobody counts
  await sidecarOf(node(0)).restart();
  await eventually(async () => expect(await network.nodes[0]!.exec("nft", "list", "ruleset")).toContain("10.77.0.1 . 28081 counter"), { timeoutMs: 60_000 });
  await get(1, url, 2 * MB);
  const after = await eventually(async () => {
    const all = await usage("--workload", id, "--by", "workload");
    expect(all.total.bytesOut).toBeGreaterThan(3 * MB);
    return all;
  }, { timeoutMs: 60_000 });
  expect(after.total.bytesOut).toBeLessThan(8 * MB);
  expect(after).toMatchObject({ code: 0, rejected: [], broken: [] });
  await (client as WorkloadClient).stop(id, 60_000);
  await sidecarOf(node(0)).stop();
  expect(await tables(0)).not.toContain("ibrl_");
  await sidecarOf(node(0)).start();
}, TEST_MS);
