/**
 * `cluster metrics` and `cluster list` as processes, against the sidecar's real gRPC server over loopback. The nodes
 * behind it are sealed here; the whole cluster is test/e2e/plugin-host.test.ts.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pino } from "pino";
import { beaconId } from "../../src/beacon/keys.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { formatHostPort } from "../../src/sidecar/api/bind-address.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { builtProject, finished, type Finished, runCli, startCli } from "../harness/built-cli.js";
import { bareView, fullView, unobserved } from "../harness/node-views.js";
import { identity } from "../harness/records.js";

let nodes: NodeView[] = [];
let api: GrpcApi;
let address: string;

beforeAll(async () => {
  builtProject();
  const reader = { list: async () => nodes };
  api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), reader, logger: pino({ level: "silent" }) });
  address = formatHostPort(await api.start());
  api.setServing(true);
});
afterAll(() => api.close(1_000));
beforeEach(() => {
  nodes = [unobserved(fullView({ name: "node-2", key: 2, issuedAtMs: Date.now(), without: ["jitterUs"] })), unobserved(fullView({ issuedAtMs: Date.now() })), bareView("node-3")];
});

const run = (...args: string[]): Promise<Finished> => runCli(args, { IBRL_GRPC_ADDR: address });

/** Signed by another key than the one that its place is for: the client finds that out on its own. */
function forged(): NodeView {
  const honest = fullView({ name: "node-4", key: 4, issuedAtMs: Date.now() });
  const { beacon: other } = fullView({ name: "node-5", key: 5, issuedAtMs: Date.now() });
  return { ...honest, ...(other === undefined ? {} : { beacon: other }) };
}

const block = (key: number, jitter: string): string => `Node: 5f3a2b1c-0000-4000-8000-00000000000${String(key)}
  Beacon ID:       ${beaconId(identity(key).publicKey)}
  Latency:         12.35 ms
  Jitter:          ${jitter}
  Packet Loss:     0.00%
  Queue Depth:     3
  Price/GB:        $0.0100
  Reputation:      unknown (declared 1.0)
  Capabilities:    [container vm]
  Workloads:       2

`;

test("the default is the ancestor's listing on stdout, and nothing on stderr", async () => {
  expect(await run("cluster", "metrics")).toEqual({
    code: 0,
    stdout: `IBRL Cluster Metrics:\n====================\n\n${block(1, "1.00 ms")}${block(2, "unmeasured")}Node: 9e8d7c6b-0000-4000-8000-000000000000\n  Beacon: Not available\n  Workloads:       unknown\n\n`,
    stderr: "",
  });
});

test("both topic separators, sorting, filtering and choosing work together", async () => {
  const { stdout, code } = await run("cluster:metrics", "--sort=jitter", "--filter", "latency<=20", "--filter", "capability=vm", "--node", "node-1", "--node=node-2", "--format=table");
  expect(code).toBe(0);
  expect(stdout.split("\n").map((line) => line.split(" ")[0])).toEqual(["NODE", "node-1", "node-2", ""]);
});

test.each(["metrics", "list"])("cluster %s --json is as its schema says, with nothing on stderr", async (command) => {
  nodes.push(forged());
  const { stdout, stderr, code } = await run("cluster", command, "--json");
  const schema = JSON.parse(readFileSync(join(builtProject(), `schemas/cluster-${command}.schema.json`), "utf8")) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  validate(JSON.parse(stdout));
  expect({ errors: validate.errors, stderr, code }).toEqual({ errors: null, stderr: "", code: 0 });
});

test("a record that fails verification: a warning, and 3 under --strict alone", async () => {
  nodes.push(forged());
  const lenient = await run("cluster", "metrics");
  expect(lenient.code).toBe(0);
  expect(lenient.stderr).toMatch(/^warning: node-4: unverified: wrong-node: /);
  const strict = await run("cluster", "list", "--strict");
  expect(strict.code).toBe(3);
  expect(strict.stderr).toContain("--strict: verification failed for node-4\n");
  const json = await run("cluster", "metrics", "--strict", "--json");
  expect(json.code).toBe(3);
  expect(JSON.parse(json.stdout)).toMatchObject({ nodes: [{}, {}, {}, { node: "node-4", trust: "unverified", verified: false }] });
  expect((await run("cluster", "metrics", "--strict", "--node", "node-1")).code).toBe(0);
});

test("errors say what to do, and their exit code says whose they are", async () => {
  const unknown = await run("cluster", "metrics", "--node", "node-9");
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toContain('There is no node "node-9". Known: node-1, node-2');
  const usage = await run("cluster", "metrics", "--filter", "latancy<1");
  expect(usage.code).toBe(2);
  expect(usage.stderr).toContain("there is no field latancy");
  const nobody = await runCli(["cluster", "metrics", "--grpc-addr", "127.0.0.1:1"]);
  expect(nobody.code).toBe(1);
  expect(nobody.stderr.replace(/\s+(›\s+)?/g, " ")).toMatch(/no sidecar answers at 127\.0\.0\.1:1: start one with `hypercore sidecar`.*add --consul\./);
  const noConsul = await runCli(["cluster", "list", "--consul"], { CONSUL_HTTP_ADDR: "127.0.0.1:1" });
  expect(noConsul.code).toBe(1);
  expect(noConsul.stderr).toContain("Set CONSUL_HTTP_ADDR");
});

test.each([
  [["--bogus"], 2, "usage"],
  [["--sort", "colour"], 2, "usage"],
  [["--datacenter", "dc2"], 2, "usage"],
  [["--watch", "--interval", "soon"], 2, "usage"],
  [["--grpc-addr", "here"], 2, "usage"],
  [["--grpc-addr", "127.0.0.1:1"], 1, "unreachable"],
  [["--node", "node-9"], 1, "unknown-node"],
])("with --json %j fails as JSON", async (args, exitCode, code) => {
  const { stdout, stderr, code: exited } = await run("cluster", "metrics", "--json", ...args);
  expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, error: { code, exitCode } });
  expect({ exited, stderr }).toEqual({ exited: exitCode, stderr: "" });
});

test("no escape sequence reaches a pipe, whatever a server says", async () => {
  nodes.push(bareView("evil\u001b[31m\u009b2J\u202e", { id: "\u001b]0;owned\u0007" }));
  for (const args of [["metrics"], ["metrics", "--format=table"], ["metrics", "--json"], ["list"], ["list", "--node=\u001b[1m"]]) {
    const { stdout, stderr } = await run("cluster", ...args);
    expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});

describe("--watch in a pipe", () => {
  const watching = (...args: string[]) => startCli(["cluster", "metrics", "--watch", "--interval=100ms", ...args], { IBRL_GRPC_ADDR: address });

  test("prints a line of JSON for each read, and Ctrl-C ends it well", async () => {
    const child = watching("--json");
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      lines.push(line);
      if (lines.length === 3) child.kill("SIGINT");
    }
    const [code] = child.exitCode === null ? ((await once(child, "close")) as [number]) : [child.exitCode];
    expect(code).toBe(0);
    expect(lines.length).toBeGreaterThanOrEqual(3);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ schemaVersion: 1, nodes: [{ node: "node-1" }, {}, {}] });
  });

  test("ends when its reader does", async () => {
    const child = watching();
    await once(child.stdout as NodeJS.ReadableStream, "data");
    child.stdout?.destroy();
    const said: string[] = [];
    child.stderr?.on("data", (chunk: Buffer) => said.push(chunk.toString()));
    const [code] = (await once(child, "close")) as [number];
    expect({ code, said }).toEqual({ code: 0, said: [] });
  });

  test("under --strict ends with 3 at the first record that fails", async () => {
    const child = watching("--strict");
    await once(child.stdout as NodeJS.ReadableStream, "data");
    nodes.push(forged());
    expect((await finished(child)).code).toBe(3);
  });

  test("a sidecar that goes away is said on stderr, and reading goes on", async () => {
    const reader = { list: async () => nodes };
    const other = (port: number) => new GrpcApi({ bind: { host: "127.0.0.1", port }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), reader, logger: pino({ level: "silent" }) });
    const first = other(0);
    const bound = await first.start();
    const child = startCli(["cluster", "list", "--watch", "--interval=100ms", "--grpc-addr", formatHostPort(bound)]);
    await once(child.stdout as NodeJS.ReadableStream, "data");
    await first.close(100);
    const [said] = (await once(child.stderr as NodeJS.ReadableStream, "data")) as [Buffer];
    expect(said.toString()).toMatch(/^warning: not read at \S+, trying again: no sidecar answers/);
    const second = other(bound.port);
    await second.start();
    child.stdout?.removeAllListeners("data");
    await once(child.stdout as NodeJS.ReadableStream, "data");
    child.kill("SIGTERM");
    expect((await finished(child)).code).toBe(0);
    await second.close(100);
  });
});
