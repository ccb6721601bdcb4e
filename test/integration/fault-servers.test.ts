/** Fault tests 3 and 4 on three servers with production timings: the leader is lost, then the quorum. */
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listed, metric, sidecarOf } from "../harness/observe.js";

/** So many failed requests, and beats after the first failed write, that the loops, whose backoff grows, went on trying. */
const FAILED_REQUESTS = 5;
const BEATS = 5;
const HEARTBEAT_MS = 10_000;
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startTestCluster({ servers: 3, sidecarArgs: () => ["--beat=2s", `--heartbeat-min=${String(HEARTBEAT_MS)}ms`, "--validity-min=300s"] });
}, 180_000);
afterAll(() => stopTestCluster(cluster), 60_000);

const writes = (node: LocalNode, plane: string) => metric(sidecarOf(node), "hypercore_ibrl_plane_writes_total", { plane });
const failures = (node: LocalNode, plane: string) => metric(sidecarOf(node), "hypercore_ibrl_plane_write_failures_total", { plane });
const sees = async (node: LocalNode) => (await listed(sidecarOf(node))).filter(({ trust }) => trust === "pinned").map(({ node: { name } }) => name);
const allSeeAll = (nodes: readonly LocalNode[], timeoutMs: number) =>
  eventually(async () => {
    for (const node of nodes) expect(await sees(node)).toHaveLength(3);
  }, { timeoutMs });

async function leader(): Promise<LocalNode> {
  const address = await Promise.any(cluster.nodes.map(({ consul }) => consul.getJson<string>("/v1/status/leader")));
  const found = cluster.nodes.find((node) => address === `${node.address}:${String(node.ports.consulRpc)}`);
  if (found === undefined) throw new Error(`no node is the leader ${address}`);
  return found;
}

test("3: the leader killed: reads go on, writes are tried again, all converge within 30 s of the election", async () => {
  await allSeeAll(cluster.nodes, 60_000);
  const lost = await leader();
  const rest = cluster.nodes.filter((node) => node !== lost);
  lost.consul.kill("SIGKILL");

  // Reads go on from what the others hold, while there is no leader.
  for (const node of rest) expect(await sees(node)).toHaveLength(3);
  await eventually(async () => expect(await leader()).not.toBe(lost), { timeoutMs: 30_000 });
  const before = await Promise.all(rest.map((node) => writes(node, "kv")));
  await eventually(async () => {
    for (const [i, node] of rest.entries()) expect(await writes(node, "kv")).toBeGreaterThan(before[i] ?? Number.NaN);
  }, { timeoutMs: 30_000 });

  await lost.consul.start();
  await lost.consul.waitReady();
  await allSeeAll(cluster.nodes, 30_000);
}, 240_000);

test("4: no quorum: no crash, the last value stands, one log line for each change, one write a plane on recovery", async () => {
  await allSeeAll(cluster.nodes, 30_000);
  const [survivor, ...others] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  const started = await writes(survivor, "kv");
  for (const { consul } of others) consul.pause();
  await eventually(async () => expect(await failures(survivor, "kv")).toBeGreaterThan(0), { timeoutMs: 150_000 });

  const sequence = await metric(sidecarOf(survivor), "hypercore_ibrl_sequence");
  await eventually(async () => {
    expect(await metric(sidecarOf(survivor), "hypercore_ibrl_consul_request_errors_total")).toBeGreaterThan(FAILED_REQUESTS);
    expect(await metric(sidecarOf(survivor), "hypercore_ibrl_sequence")).toBeGreaterThan((sequence ?? Infinity) + BEATS);
  }, { timeoutMs: 150_000 });
  expect(await sees(survivor)).toHaveLength(3);
  expect(await writes(survivor, "kv")).toBe(started);
  // Tries went on, and said nothing that was not said: a server agent without quorum may answer once in between, so
  // each dependency's lines are a change each, never the same twice in a row.
  const lines = dependencyLines(survivor);
  expect(lines.get("plane kv")?.at(-1)).toBe("Dependency is down");
  for (const said of lines.values()) expect(said.filter((line, i) => line === said[i - 1])).toEqual([]);

  for (const { consul } of others) consul.resume();
  await eventually(async () => expect(await writes(survivor, "kv")).toBeGreaterThan(started ?? 0), { timeoutMs: 60_000, everyMs: 100 });
  // No burst for what was missed: one write, and one more at most, since links that heal are news of their own.
  await new Promise((resolve) => setTimeout(resolve, HEARTBEAT_MS / 2));
  expect(await writes(survivor, "kv")).toBeLessThanOrEqual((started ?? 0) + 2);
  await allSeeAll(cluster.nodes, 30_000);
}, 420_000);

/** What the sidecar's log says of each dependency, oldest first. */
function dependencyLines(node: LocalNode): Map<string, string[]> {
  const said = new Map<string, string[]>();
  for (const line of sidecarOf(node).logTail(10_000).split("\n")) {
    if (!line.includes('"dependency"')) continue;
    const { dependency, msg } = JSON.parse(line) as { dependency: string; msg: string };
    said.set(dependency, [...(said.get(dependency) ?? []), msg]);
  }
  return said;
}
