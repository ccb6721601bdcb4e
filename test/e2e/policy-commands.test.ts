/** `policy check`, `policy rank` and `cluster why-not` as a user runs them, against a sidecar's gRPC with sealed records. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { projectRoot } from "../../src/dev/project-root.js";
import { formatHostPort } from "../../src/sidecar/api/bind-address.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { runCli } from "../harness/built-cli.js";
import { bareView, fullView, unobserved } from "../harness/node-views.js";

let api: GrpcApi;
let address: string;
let folder: string;
const latency = (ms: number) => ({ latency: { us: ms * 1_000, source: "measured" as const } });

beforeAll(async () => {
  const issuedAtMs = Date.now();
  const nodes = [
    unobserved(fullView({ name: "node-1", key: 1, issuedAtMs, beacon: latency(97) })),
    unobserved(fullView({ name: "node-2", key: 2, issuedAtMs, beacon: latency(120) })),
    bareView("node-3"),
  ];
  api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), reader: { list: async () => nodes }, logger: pino({ level: "silent" }) });
  address = formatHostPort(await api.start());
  folder = mkdtempSync(join(tmpdir(), "ibrl-policy-"));
});
afterAll(async () => {
  await api.close(100);
  rmSync(folder, { recursive: true, force: true });
});

function file(content: object): string {
  const path = join(folder, "policy.json");
  writeFileSync(path, JSON.stringify(content));
  return path;
}
const near = () => file({ version: 2, name: "near", mode: "enforce", rules: { max_latency_ms: 100 }, scoring: { latency_weight: 1, ranges: { latency_ms: { best: 0, worst: 200 } } } });
const run = (...args: string[]) => runCli(args, { IBRL_GRPC_ADDR: address });

test("policy check: 0 and what the file is, or 1 and each problem; warnings for the ancestor's unknown fields", async () => {
  expect(await run("policy", "check", near())).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^near: version 2, enforce, sha256 [0-9a-f]{64}\n$/) as string });
  const old = await run("policy", "check", file({ name: "old", mode: "enforce", rules: { max_latency: 1 } }));
  expect(old).toMatchObject({ code: 0, stderr: "warning: rules.max_latency: is no field here; max_latency_ms was probably meant\n" });
  const wrong = await run("policy", "check", file({ version: 2, name: "a", mode: "enforce", rules: { max_jitter_ms: -1 } }), "--json");
  expect(wrong).toMatchObject({ code: 1, stderr: "" });
  expect(JSON.parse(wrong.stdout)).toMatchObject({ error: { code: "policy-file", message: expect.stringContaining("rules.max_jitter_ms: -1 does not fit") as string } });
});

test("policy rank: the order with its terms, and for each excluded node every broken rule", async () => {
  const { stdout, stderr, code } = await run("policy", "rank", near());
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  expect(stdout).toContain("Policy near (spawn's, enforce): 1 eligible, 0 violating, 2 excluded");
  expect(stdout).toMatch(/1 {2}node-1 {2}eligible +0\.515 {2}latency 97 ms \(0\.52\)/);
  expect(stdout).toMatch(/- {2}node-2 {2}excluded +- {2}max_latency_ms: 120 ms > 100 ms/);
  expect(stdout).toMatch(/- {2}node-3 {2}excluded +- {2}verified_only: no-sidecar; max_latency_ms: unknown \(at most 100 ms\)/);
  const json = JSON.parse((await run("policy", "rank", near(), "--json")).stdout) as { nodes: { node: string }[] };
  expect(json.nodes[0]).toMatchObject({ node: "node-1", place: 1, scorePpm: 515_000, reasons: [{ role: "spawn", terms: [{ name: "latency", value: 97_000 }] }] });
});

const lowLatency = join(projectRoot(), "nomad/policies/wasm/low-latency.wasm");

test("a WebAssembly module ranks as a file does, with the reasons in its own words, and holds beside a cluster's policy", async () => {
  const { stdout, stderr, code } = await run("policy", "rank", lowLatency);
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  expect(stdout).toContain("Policy low-latency (spawn's, enforce): 0 eligible, 0 violating, 3 excluded");
  expect(stdout).toMatch(/- {2}node-2 {2}excluded +- {2}module: latency 120000 us > 50000 us/);
  expect(stdout).toMatch(/- {2}node-3 {2}excluded +- {2}verified_only: no-sidecar; module: not verified/);
  expect((await run("policy", "rank", near(), "--cluster-policy", lowLatency)).stdout).toContain("(spawn's, enforce): 0 eligible, 0 violating, 3 excluded");
  const whyNot = await run("cluster", "why-not", "node-1", "--policy", lowLatency);
  expect({ code: whyNot.code, stdout: whyNot.stdout }).toEqual({
    code: 0, stdout: "node-1 may not be chosen; nobody may.\n  low-latency: module: latency 97000 us > 50000 us\nWith these met it would still break a rule.\n",
  });
});

test("cluster why-not: the broken rule, and the value at which the node would be first", async () => {
  const { stdout, code } = await run("cluster", "why-not", "node-2", "--policy", near());
  expect(code).toBe(0);
  expect(stdout).toMatch(/^node-2 may not be chosen; node-1 is first\.\n {2}near: max_latency_ms: 120 ms > 100 ms\n/);
  // Equal scores go by the key: at 97 ms itself where node-2's is the smaller one.
  expect(stdout).toMatch(/latency is 120 ms; at (97|96\.999) ms or less it would be first\./);
  expect((await run("cluster", "why-not", "node-9", "--policy", near())).code).toBe(2);
});
