/** `trust export`, `trust recompute` and the scores in `cluster metrics` as processes, against the sidecar's real gRPC server. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pino } from "pino";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { RecordExport } from "../../src/beacon/reputation-document.js";
import { formatHostPort } from "../../src/sidecar/api/bind-address.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { fullView, unobserved } from "../harness/node-views.js";
import { mesh } from "../harness/observers.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { someGuard } from "../harness/some-guard.js";

let api: GrpcApi;
let address: string;
let folder: string;
let file: string;

/** Five nodes that probe each other as they please; node-2 signs exchanges that never were. */
function views(): NodeView[] {
  const now = Date.now();
  const states = mesh(5, (from) => (from === 2 ? { exchanges: "forged" } : { received: 63 }), now);
  return states.map((state, i) => unobserved(fullView({ name: `node-${String(i + 1)}`, key: i + 1, issuedAtMs: now, view: { state } })));
}

beforeAll(async () => {
  builtProject();
  folder = mkdtempSync(join(tmpdir(), "ibrl-recompute-"));
  file = join(folder, "records.json");
  api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), reader: { list: async () => views() }, workloads: someWorkloads(), logger: pino({ level: "silent" }) });
  address = formatHostPort(await api.start());
  api.setServing(true);
});
afterAll(async () => {
  await api.close(1_000);
  rmSync(folder, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<Finished> => runCli(args, { IBRL_GRPC_ADDR: address });
/** Nothing answers there. */
const offline = (...args: string[]): Promise<Finished> => runCli(args, { IBRL_GRPC_ADDR: "127.0.0.1:1" });

test("from the exported records, with no sidecar to ask, come the bytes that the sidecar computed", async () => {
  expect(await run("trust", "export", "-o", file)).toEqual({ code: 0, stdout: `5 records in ${file}\n`, stderr: "" });
  const exported = JSON.parse(readFileSync(file, "utf8")) as RecordExport;
  const raw = await offline("trust", "recompute", file, "--raw");
  expect(raw).toMatchObject({ code: 0, stderr: "" });
  expect(createHash("sha256").update(raw.stdout).digest("hex")).toBe(exported.servedSha256);

  const { stdout, stderr, code } = await offline("trust", "recompute", file, "--json");
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(JSON.parse(readFileSync(join(builtProject(), "schemas/trust-recompute.schema.json"), "utf8")) as object);
  const document = JSON.parse(stdout) as { nodes: { node: string; reputation: unknown }[] };
  validate(document);
  expect({ errors: validate.errors, stderr, code }).toEqual({ errors: null, stderr: "", code: 0 });
  expect(document).toMatchObject({ sameAsServed: true, servedSha256: exported.servedSha256 });
  expect(document.nodes.find(({ node }) => node === "node-2")).toMatchObject({ reputation: { score: 0, observers: 4 } });
});

test("without a file it asks the sidecar, and prints a table", async () => {
  const { code, stdout } = await run("trust", "recompute");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^NODE +REPUTATION +VOTES +PUBLIC KEY\n/);
  expect(stdout).toMatch(/^node-2 +0\.000000 +4 /m);
  expect(stdout).toMatch(/^node-1 +0\.988281 +3 /m); // 63 of 64; the liar has lost its vote
  expect(stdout).toMatch(/5 nodes observe; a score takes 3 votes\nSHA-256 [0-9a-f]{64} \(the sidecar's too\)\n$/);
});

test("the listing shows the score, each client its own; sorting and filtering use it", async () => {
  const { stdout } = await run("cluster", "metrics", "--node=node-1");
  expect(stdout).toContain("  Reputation:      0.99\n");
  const json = JSON.parse((await run("cluster", "metrics", "--json", "--filter", "reputation>=0.5", "--sort=reputation")).stdout) as { nodes: { node: string; reputation: unknown }[] };
  expect(json.nodes.map(({ node }) => node).sort()).toEqual(["node-1", "node-3", "node-4", "node-5"]);
  expect(json.nodes[0]?.reputation).toEqual({ score: 0.988281, observers: 3 });
});

test("a sidecar that computed something else is 3; a changed record, another file and no file are 1", async () => {
  await run("trust", "export", "-o", file);
  const exported = JSON.parse(readFileSync(file, "utf8")) as RecordExport;
  const changed = join(folder, "changed.json");
  writeFileSync(changed, JSON.stringify({ ...exported, servedSha256: "0".repeat(64) }));
  expect(await offline("trust", "recompute", changed)).toMatchObject({ code: 3, stderr: expect.stringContaining("computed something else") as string });
  writeFileSync(changed, JSON.stringify({ ...exported, records: exported.records.map((record) => ({ ...record, node: "node-1" })) }));
  expect(await offline("trust", "recompute", changed)).toMatchObject({ code: 1, stderr: expect.stringContaining("does not verify: wrong-node") as string });
  writeFileSync(changed, "{}");
  expect(JSON.parse((await offline("trust", "recompute", changed, "--json")).stdout)).toMatchObject({ error: { code: "bad-export", exitCode: 1 } });
  expect((await offline("trust", "recompute", join(folder, "none.json"))).code).toBe(1);
});
