/** `cluster links` as a process, against the sidecar's real gRPC server: halves travel sealed and are joined by the reader. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pino } from "pino";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { SignedLinkHalf } from "../../src/beacon/record.js";
import { formatHostPort } from "../../src/sidecar/api/bind-address.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { bothEnds, coordinateAt, type Fate, halfAbout, linkedView, recordOf, reflecting } from "../harness/links.js";

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
  const now = Date.now();
  const probes = bothEnds(Array.from<Fate>({ length: 64 }).fill("back"));
  const during: Partial<SignedLinkHalf> = { startMs: now - 60_000, endMs: now };
  nodes = [
    linkedView(1, [halfAbout(2, { ...during, outgoing: recordOf(probes.sender, 64) })], { issuedAtMs: now, coordinate: coordinateAt(1) }),
    linkedView(2, [reflecting(1, recordOf(probes.reflector, 64), during)], { issuedAtMs: now }),
    linkedView(3, [], { issuedAtMs: now, coordinate: coordinateAt(4) }),
  ];
});

const run = (...args: string[]): Promise<Finished> => runCli(["cluster", "links", ...args], { IBRL_GRPC_ADDR: address });

test("lists the links that both ends signed, and what is only estimated", async () => {
  const { code, stdout, stderr } = await run();
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const rows = stdout.split("\n").map((line) => line.trim().split(/ {2,}/));
  expect(rows[1]?.slice(0, 3)).toEqual(["node-1", "node-2", "10.00 ms"]);
  expect(rows[1]).toContain("agreed");
  expect(rows[2]?.slice(0, 3)).toEqual(["node-1", "node-3", "~3.00 ms"]);
  expect(rows[3]?.slice(0, 3)).toEqual(["node-2", "node-3", "unmeasured"]);
});

test("one node's links have it first, by name or by the start of its ID; a node that is none fails", async () => {
  const links = async (...args: string[]): Promise<unknown> => (JSON.parse((await run("--json", ...args)).stdout) as { links: unknown }).links;
  const expected = [{ a: { node: "node-2" }, b: { node: "node-1" }, probedBy: "b" }, { a: { node: "node-2" }, b: { node: "node-3" } }];
  expect(await links("node-2")).toMatchObject(expected);
  expect(await links(nodes[1]?.beacon?.beaconId.slice(0, 6) ?? "")).toMatchObject(expected);
  expect(await run("node-9")).toMatchObject({ code: 1, stderr: expect.stringContaining('There is no node "node-9"') as string });
  expect((await run("--matrix", "node-3")).stdout).toContain("node-1   ~3.00\nnode-2       ?\n");
});

test("--json is as its schema says", async () => {
  const { stdout, stderr, code } = await run("--json");
  const schema = JSON.parse(readFileSync(join(builtProject(), "schemas/cluster-links.schema.json"), "utf8")) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  validate(JSON.parse(stdout));
  expect({ errors: validate.errors, stderr, code }).toEqual({ errors: null, stderr: "", code: 0 });
});

test("a state signed by another key has no links, is warned of, and is 3 under --strict", async () => {
  const [first, second] = nodes as [NodeView, NodeView];
  nodes[1] = { ...second, ...(first.state === undefined ? {} : { state: first.state }) };
  const { code, stdout, stderr } = await run("--strict");
  expect(code).toBe(3);
  expect(stderr).toContain("warning: node-2: unverified: ");
  expect(stdout).not.toContain("node-2");
});
