/** What sidecars write into Nomad's node metadata places jobs that know nothing of this project: nomad/good-node.nomad.hcl, by Nomad's own command. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type LocalCluster, type LocalNode, withoutClusterVariables } from "../../src/dev/local-cluster.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { metric, sidecarOf } from "../harness/observe.js";

const START_MS = 600_000; // the programs may have to be built first
const TEST_MS = 120_000;
const WITHIN = { timeoutMs: 60_000 };
const PRICES = ["0.001", "0.002", "0.003"];
const WRITES = "hypercore_ibrl_nomad_metadata_writes_total";
const PRICE = "unique.ibrl.price_per_gb";

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startTestCluster({ nomad: true, sidecarArgs: (index) => ["--beat=500ms", "--nomad-metadata", "--probe-interval=100ms", "--probe-window=5s", `--beacon-price=${PRICES[index] ?? ""}`] });
}, START_MS);
afterAll(() => stopTestCluster(cluster), TEST_MS);

const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;

interface NomadNode {
  ID: string;
  ComputedClass: string;
  Meta: Record<string, string> | null;
  Drivers: Record<string, { Healthy: boolean }>;
}
/** As Nomad's servers, and so its schedulers, have it. */
async function scheduled(index: number): Promise<NomadNode> {
  const found = (await nomad<{ ID: string; Name: string }[]>("/v1/nodes")).find(({ Name }) => Name === node(index).name);
  return nomad<NomadNode>(`/v1/node/${found?.ID ?? ""}`);
}
const published = ({ Meta }: NomadNode) => Object.keys(Meta ?? {}).filter((key) => key.includes("ibrl")).sort();

async function nomadCli(...args: string[]): Promise<void> {
  const env = { ...withoutClusterVariables(process.env), NOMAD_ADDR: node(0).nomad?.httpUrl };
  await promisify(execFile)(cluster.nomadBinary?.path ?? "", args, { env });
}

/** The example, with limits that a busy machine's probes do not break; only the price decides. */
async function runExample(prices: { max: number; cheap: number }): Promise<void> {
  const limits = { driver: "raw_exec", max_latency_ms: 10_000, max_packet_loss: 100, max_price_per_gb: prices.max, cheap_price_per_gb: prices.cheap };
  const vars = Object.entries(limits).map(([name, value]) => `-var=${name}=${String(value)}`);
  await nomadCli("job", "run", "-detach", ...vars, join(projectRoot(), "nomad/good-node.nomad.hcl"));
}

interface Allocation {
  ID: string;
  NodeName: string;
  ClientStatus: string;
  JobVersion: number;
}
const running = async () => (await nomad<Allocation[]>("/v1/job/good-node/allocations")).filter(({ ClientStatus }) => ClientStatus === "running");

test("what a node measured is its metadata in Nomad, unknown values left out, and few writes bring it there", async () => {
  for (const [index, price] of PRICES.entries()) {
    await eventually(async () => {
      const found = await scheduled(index);
      expect(published(found)).toEqual(["jitter_ms", "latency_ms", "packet_loss", "price_per_gb", "queue_depth"].map((name) => `unique.ibrl.${name}`));
      expect(found.Meta?.[PRICE]).toBe(price);
      expect(found.Drivers["raw_exec"]?.Healthy).toBe(true); // for the example
      expect(Number(found.Meta?.["unique.ibrl.latency_ms"])).toBeGreaterThan(0);
    }, WITHIN);
    expect(await metric(sidecarOf(node(index)), WRITES)).toBeGreaterThan(0);
    expect(await metric(sidecarOf(node(index)), WRITES)).toBeLessThan((await metric(sidecarOf(node(index)), "hypercore_ibrl_sequence")) ?? 0);
  }
}, TEST_MS);

test("the example's constraint rejects a node, its affinity counts for another", async () => {
  await runExample({ max: 0.002, cheap: 0.001 });
  const [{ ID }] = await eventually(async () => {
    const [found] = await running();
    if (found === undefined) throw new Error("the example does not run yet");
    return [found] as const;
  }, WITHIN);
  const { NodeName, Metrics } = await nomad<Allocation & { Metrics: { ConstraintFiltered: Record<string, number>; ScoreMetaData: { NodeID: string; Scores: Record<string, number> }[] } }>(`/v1/allocation/${ID}`);
  expect(["node-1", "node-2"]).toContain(NodeName);
  expect(Metrics.ConstraintFiltered).toEqual({ "${meta.unique.ibrl.price_per_gb} <= 0.002": 1 });
  const affinity = new Map(Metrics.ScoreMetaData.map(({ NodeID, Scores }) => [NodeID, Scores["node-affinity"] ?? 0]));
  expect([affinity.get((await scheduled(0)).ID), affinity.get((await scheduled(1)).ID)]).toEqual([1, 0]);
}, TEST_MS);

test("a sidecar that leaves takes its values away, a job that needs them waits, and runs when they are back; the node's class stays", async () => {
  const before = await scheduled(0);
  await sidecarOf(node(0)).stop();
  await eventually(async () => expect(published(await scheduled(0))).toEqual([]), WITHIN);
  expect((await scheduled(0)).ComputedClass).toBe(before.ComputedClass);
  // Only node-1 was ever so cheap.
  await runExample({ max: 0.001, cheap: 0.001 });
  await eventually(async () => {
    const evaluations = await nomad<{ Status: string; JobModifyIndex: number }[]>("/v1/job/good-node/evaluations");
    expect(evaluations.filter(({ Status }) => Status === "blocked")).not.toEqual([]);
  }, WITHIN);
  // As the sidecar would, which takes longer: it measures first.
  await nomadCli("node", "meta", "apply", `-node-id=${before.ID}`, `${PRICE}=0.001`, "unique.ibrl.latency_ms=1", "unique.ibrl.packet_loss=0");
  await eventually(async () => expect(await running()).toMatchObject([{ NodeName: "node-1", JobVersion: 1 }]), WITHIN);
}, TEST_MS);
