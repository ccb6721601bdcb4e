/**
 * The listing of a real cluster on production timings, every period at its default: three servers with a sidecar, and
 * a client agent without one. As read by an ancestor's client, over HTTP, and by the command line in both its ways.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { LocalCluster } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { listNodes } from "../../src/sidecar/api/client.js";
import { ancestorList } from "../harness/ancestor-client.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { listed, metric, sidecarOf } from "../harness/observe.js";
import { startSidecars } from "../harness/some-sidecars.js";

const WITH_SIDECAR = ["node-1", "node-2", "node-3"];
const ALL = [...WITH_SIDECAR, "node-4"];
/** Consul takes up to 50 s until it has coordinates; the rest is for a busy machine. */
const COORDINATES_WITHIN_MS = 120_000;
let cluster: LocalCluster;
let folder: RunFolder;

beforeAll(async () => {
  builtProject();
  folder = testRunFolder();
  cluster = await startTestCluster({ nodes: 4, servers: 3, sidecars: false });
  await startSidecars(cluster, [0, 1, 2], folder);
  await eventually(
    async () => {
      for (const { sidecar } of cluster.nodes.slice(0, 3)) {
        const states = sidecar === null ? [] : await listed(sidecar);
        expect(states.map(({ node, trust, sealed_state }) => [node.name, trust, sealed_state !== undefined])).toEqual([
          ...WITH_SIDECAR.map((name) => [name, "pinned", true]),
          ["node-4", "no-sidecar", false],
        ]);
      }
    },
    { timeoutMs: 60_000 },
  );
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  await folder?.remove();
}, 60_000);

interface NodeJson {
  node: string;
  nodeId: string;
  beaconId: string | null;
  verified: boolean;
  trust: string;
  ageMs: number | null;
  latency: { ms: number; source: string } | null;
  [field: string]: unknown;
}

const cli = (...args: string[]): Promise<Finished> => runCli(["cluster", ...args], cluster.environment());
async function metricsJson(...args: string[]): Promise<NodeJson[]> {
  const { stdout, stderr, code } = await cli("metrics", "--json", ...args);
  expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
  return (JSON.parse(stdout) as { nodes: NodeJson[] }).nodes;
}

/** The listing's blocks by node ID, each line trimmed. */
function blocks(stdout: string): Map<string, string[]> {
  const [, ...found] = stdout.split(/^Node: /m);
  return new Map(found.map((block) => block.trimEnd().split("\n").map((line) => line.trim())).map(([id = "", ...lines]) => [id, lines]));
}

test("an ancestor's client reads every node; the one without a sidecar has no beacon", async () => {
  const states = await ancestorList(sidecarOf(cluster.nodes[0]).grpcAddr);
  const consulNodes = await cluster.nodes[0]?.consul.getJson<{ ID: string; Address: string }[]>("/v1/catalog/nodes");
  expect(states.map(({ node }) => node)).toEqual(consulNodes?.map(({ ID, Address }) => ({ id: ID, ip: Address })));
  for (const { beacon, state_signature } of states.slice(0, 3)) {
    expect(beacon).toMatchObject({ beacon_node_id: expect.stringMatching(/^[0-9a-f]{16}$/), price_per_gb: 0.01, reputation_score: "" });
    expect(beacon?.node_signature).toHaveLength(64);
    expect(Math.abs((beacon?.timestamp ?? 0) - Date.now() / 1_000)).toBeLessThan(300);
    expect(Buffer.from(state_signature, "base64")).toHaveLength(64);
  }
  expect(states[3]).toMatchObject({ beacon: null, workloads: [], state_signature: "" });
});

test("every sidecar lists the same nodes by the same keys, over HTTP as over gRPC", async () => {
  const [first, ...others] = await Promise.all(
    cluster.nodes.slice(0, 3).map(async (node) => {
      const http = (await listed(sidecarOf(node))).map(({ node: { id }, beacon }) => [id, beacon?.["beacon_node_id"]]);
      const grpc = (await ancestorList(sidecarOf(node).grpcAddr)).map(({ node: { id }, beacon }) => [id, beacon?.beacon_node_id]);
      expect(grpc).toEqual(http);
      return http;
    }),
  );
  expect(new Set(first?.map(([, beaconId]) => beaconId)).size).toBe(4); // three keys, and none
  for (const other of others) expect(other).toEqual(first);
});

/** What stands in the listing for a node, by the record that it signed. */
function expectedLines(view: NodeView): string[] {
  const record = view.beacon?.record;
  if (record === undefined) return ["Beacon: Not available", "Workloads:       unknown"];
  const { latency, jitterUs, lossRatio } = record;
  const ms = (us: number): string => `${(us / 1_000).toFixed(2)} ms`;
  return [
    `Beacon ID:       ${view.beacon?.beaconId ?? ""}`,
    `Latency:         ${latency === undefined ? "unmeasured" : ms(latency.us) + (latency.source === "estimated" ? " (estimated)" : "")}`,
    `Jitter:          ${jitterUs === undefined ? "unmeasured" : ms(jitterUs)}`,
    `Packet Loss:     ${lossRatio === undefined ? "unmeasured" : `${(lossRatio * 100).toFixed(2)}%`}`,
    `Queue Depth:     ${String(record.queueDepth)}`,
    "Price/GB:        $0.0100",
    "Reputation:      unknown (declared 1.0)",
    `Capabilities:    [${record.capabilities.join(" ")}]`,
    "Workloads:       unknown", // no Nomad to ask, which is not none
  ];
}

/** The figures of one moment: nothing new was sealed between two reads of the records. */
async function atOneMoment<T>(read: () => Promise<T>): Promise<{ views: NodeView[]; read: T }> {
  const views = (): Promise<NodeView[]> => listNodes({ address: sidecarOf(cluster.nodes[0]).grpcAddr });
  const hashes = (all: readonly NodeView[]): (string | undefined)[] => all.map(({ beacon }) => beacon?.hash);
  const attempt = async (): Promise<{ views: NodeView[]; read: T }> => {
    const before = await views();
    const found = await read();
    expect(hashes(await views())).toEqual(hashes(before));
    return { views: before, read: found };
  };
  return eventually(attempt, { timeoutMs: 60_000 });
}

test("`cluster metrics` prints what each node signed and nothing that it did not: unmeasured is never 0, and no sidecar is `Not available`", async () => {
  const { views, read } = await atOneMoment(() => cli("metrics"));
  expect({ stderr: read.stderr, code: read.code }).toEqual({ stderr: "", code: 0 });
  expect(read.stdout).toMatch(/^IBRL Cluster Metrics:\n={20}\n\nNode: /);
  expect([...blocks(read.stdout)]).toEqual(views.map((view) => [view.id, expectedLines(view)]));
  expect(views.map(({ beacon }) => beacon === undefined)).toEqual([false, false, false, true]);
});

test("over HTTP what is unmeasured is left out, and a known zero is written", async () => {
  const { views, read } = await atOneMoment(() => listed(sidecarOf(cluster.nodes[0])));
  for (const [i, view] of views.slice(0, 3).entries()) {
    const { latency, jitterUs, lossRatio, queueDepth } = view.beacon?.record ?? {};
    const known = { latency_ms: latency, jitter_ms: jitterUs, packet_loss: lossRatio, queue_depth: queueDepth };
    for (const [field, value] of Object.entries(known)) expect([field, field in (read[i]?.beacon ?? {})]).toEqual([field, value !== undefined]);
    expect(read[i]?.beacon?.["queue_depth"]).toBe(queueDepth);
  }
});

test("from the sidecar and straight from Consul: the same nodes, keys, verdicts and prices", async () => {
  const told = ({ node, nodeId, datacenter, address, beaconId, publicKey, verified, trust, alive, pricePerGb, capabilities, declaredReputation, workloads }: NodeJson) => ({
    node, nodeId, datacenter, address, beaconId, publicKey, verified, trust, alive, pricePerGb, capabilities, declaredReputation, workloads,
  });
  const [fromSidecar, fromConsul] = [await metricsJson(), await metricsJson("--consul")];
  expect(fromConsul.map(told)).toEqual(fromSidecar.map(told));
  expect(fromConsul.map(({ node, verified, trust }) => [node, verified, trust])).toEqual([
    ...WITH_SIDECAR.map((name) => [name, true, "pinned"]),
    ["node-4", false, "no-sidecar"],
  ]);
});

test.each(["metrics", "list"])("cluster %s --json of the real cluster is as its schema says", async (command) => {
  const schema = JSON.parse(readFileSync(join(builtProject(), `schemas/cluster-${command}.schema.json`), "utf8")) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  for (const source of [[], ["--consul"]]) {
    const { stdout, code } = await cli(command, "--json", ...source);
    validate(JSON.parse(stdout));
    expect({ errors: validate.errors, code }).toEqual({ errors: null, code: 0 });
  }
});

test("--format table, --sort and --node", async () => {
  const names = ({ stdout }: Finished): string[] => stdout.split("\n").map((line) => line.split(" ")[0] ?? "").filter((word) => word.startsWith("node-"));
  expect(names(await cli("metrics", "--format=table"))).toEqual(ALL);
  const table = await cli("metrics", "--format=table", "--sort=name", "--node=node-3", "--node=node-1", "--consul");
  expect({ code: table.code, names: names(table) }).toEqual({ code: 0, names: ["node-1", "node-3"] });
  const [heading = "", row = ""] = table.stdout.split("\n");
  const cell = (column: string): string => row.slice(0, heading.indexOf(column) + column.length).split(/\s{2,}/).at(-1) ?? "";
  expect([cell("PRICE/GB"), cell("WORKLOADS")]).toEqual(["$0.0100", "-"]);
  const [wanted] = await metricsJson("--node", "node-2");
  expect(await metricsJson("--node", wanted?.beaconId ?? "")).toMatchObject([{ node: "node-2" }]);
  expect((await cli("metrics", "--node=node-9")).code).toBe(1);
  expect((await cli("metrics", "--sort=colour")).code).toBe(2);
});

test("--strict is content with a node that has no sidecar yet: nothing failed", async () => {
  for (const source of [[], ["--consul"]]) expect(await cli("metrics", "--strict", ...source)).toMatchObject({ code: 0, stderr: "" });
});

test("latencies fill in, on every line and in both ways of reading, each labelled by where it comes from", async () => {
  const filled = { ms: expect.any(Number), source: expect.stringMatching(/^(estimated|measured)$/) };
  await eventually(
    async () => {
      for (const source of [[], ["--consul"]]) {
        expect((await metricsJson(...source)).map(({ latency }) => latency)).toEqual([filled, filled, filled, null]);
      }
    },
    { timeoutMs: COORDINATES_WITHIN_MS, everyMs: 2_000 },
  );
  const { views, read } = await atOneMoment(async () => {
    const [listing, table, json] = await Promise.all([cli("metrics"), cli("metrics", "--format=table"), metricsJson()]);
    return { listing, table, json };
  });
  expect([...blocks(read.listing.stdout)]).toEqual(views.map((view) => [view.id, expectedLines(view)]));
  const rows = read.table.stdout.split("\n");
  for (const [i, view] of views.slice(0, 3).entries()) {
    const latency = view.beacon?.record.latency;
    const tilde = latency?.source === "estimated" ? "~" : "";
    expect(read.json[i]?.latency).toEqual({ ms: (latency?.us ?? 0) / 1_000, source: latency?.source });
    expect(latency?.us).toBeGreaterThan(0);
    expect(rows[i + 1]?.split(/\s{2,}/).slice(0, 2)).toEqual([view.name, `${tilde}${((latency?.us ?? 0) / 1_000).toFixed(2)} ms`]);
  }
  expect(rows[4]).toMatch(/^node-4 +- +- +- +- /);
  expect(read.table.stdout.includes("~ estimated from Consul's coordinates")).toBe(views.some(({ beacon }) => beacon?.record.latency?.source === "estimated"));
}, 240_000);

test("--sort=latency: the smallest first, what is unknown last", async () => {
  const sorted = (await metricsJson("--sort=latency")).map(({ latency }) => latency?.ms ?? Infinity);
  expect(sorted).toEqual([...sorted].sort((a, b) => a - b));
  expect(sorted.map(Number.isFinite)).toEqual([true, true, true, false]);
});

test("the sidecar's own metric has a sample for the source of its latency, and none for the other", async () => {
  const first = sidecarOf(cluster.nodes[0]);
  await eventually(async () => {
    const [view] = await listNodes({ address: first.grpcAddr });
    const source = view?.beacon?.record.latency?.source;
    for (const label of ["estimated", "measured"]) {
      const sample = await metric(first, "hypercore_ibrl_latency_seconds", { source: label });
      expect([label, sample !== undefined]).toEqual([label, source === label]);
      expect(sample).not.toBe(0);
    }
  });
});
