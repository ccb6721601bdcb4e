/** What the sidecar reads of a real Nomad beside a real Consul: drivers, workloads, what waits, and nothing once it is gone. */
import { hostname } from "node:os";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { waitFor } from "../../src/dev/readiness.js";
import { createNomadClient } from "../../src/sidecar/nomad/client.js";
import { nomadSettingsFrom } from "../../src/sidecar/nomad/settings.js";
import { type NomadApi, NomadError } from "../../src/sidecar/nomad-api.js";
import { capabilitiesOf } from "../../src/sidecar/readings/capabilities.js";
import { type LocalNomad, readLocalNomad } from "../../src/sidecar/readings/local-nomad.js";
import { queueDepthOf } from "../../src/sidecar/readings/queue-depth.js";
import { measured } from "../../src/sidecar/readings/reading.js";
import { workloadsOf } from "../../src/sidecar/readings/workloads.js";
import { startTestCluster, stopTestCluster } from "../harness/cluster.js";

const START_MS = 600_000; // the programs may have to be built first
const SEEN_MS = 60_000;
const BARE = { kvm: false, containerEngine: false };
const IDLE_SERF = measured({ serfQueues: { intent: 0, event: 0, query: 0 } });

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startTestCluster({ nodes: 2, sidecars: false, nomad: true });
}, START_MS);

afterAll(() => stopTestCluster(cluster), SEEN_MS);

function nodeAt(index: number): LocalNode {
  const node = cluster.nodes[index];
  if (node === undefined) throw new Error(`no node ${String(index)}`);
  return node;
}

function nomadOf(node: LocalNode): Promise<NomadApi> {
  return createNomadClient(nomadSettingsFrom({ NOMAD_ADDR: node.nomad?.httpUrl }));
}

async function read(node: LocalNode): Promise<LocalNomad> {
  return readLocalNomad(await nomadOf(node), { consulNode: node.name, hostname: "not-this-host" });
}

const SLEEP = { Name: "sleep", Driver: "raw_exec", Config: { command: "sleep", args: ["600"] }, Resources: { CPU: 20, MemoryMB: 20 } };

function jobOn(job: string, node: LocalNode) {
  const constraint = { LTarget: "${attr.unique.consul.name}", RTarget: node.name, Operand: "=" };
  return { ID: job, Name: job, Type: "batch", Datacenters: ["*"], Constraints: [constraint] };
}

async function register(Job: object): Promise<void> {
  const response = await fetch(`${nodeAt(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job }) });
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("EvalID")]);
}

/** Registers a batch of one raw_exec task that sleeps, on the node; `needs` is a key of Consul's that it waits for. */
async function run(job: string, node: LocalNode, needs?: string): Promise<void> {
  const waits = needs === undefined ? {} : { Templates: [{ EmbeddedTmpl: `{{ key "${needs}" }}`, DestPath: "local/needed" }] };
  await register({ ...jobOn(job, node), TaskGroups: [{ Name: "sleepers", Count: 1, Tasks: [{ ...SLEEP, ...waits }] }] });
}

async function end(job: string): Promise<void> {
  const response = await fetch(`${nodeAt(0).nomad?.httpUrl ?? ""}/v1/job/${job}`, { method: "DELETE" });
  expect(response.ok).toBe(true);
}

test("the drivers that Nomad calls healthy are the node's capabilities, and no others", async () => {
  // Drivers are fingerprinted one after another, some after the node is ready.
  const { node } = await waitFor("raw_exec healthy", async () => {
    const local = await read(nodeAt(1));
    return local.node.value?.drivers.get("raw_exec")?.healthy === true ? local : undefined;
  }, { timeoutMs: SEEN_MS });
  expect(node.value).toMatchObject({ name: nodeAt(1).name, status: "ready" });
  expect(node.value?.attributes.get("unique.consul.name")).toBe(nodeAt(1).name);
  expect(node.value?.attributes.get("unique.hostname")).toBe(hostname());

  const { names } = capabilitiesOf(node, BARE, []);
  expect(names).toContain("raw_exec");
  for (const name of names) {
    if (name === "container" || name === "vm") continue; // follow from drivers
    expect(node.value?.drivers.get(name)).toEqual({ detected: true, healthy: true });
  }
});

test("the agent of another Consul node is not ours, though it runs on this machine", async () => {
  const local = await readLocalNomad(await nomadOf(nodeAt(1)), { consulNode: nodeAt(0).name, hostname: hostname() });
  expect(local.node.reason).toBe("nomad-other-node");
  expect(workloadsOf(local.allocations).value).toBeUndefined();
});

test("a job is a workload of the node that runs it, and of no other, until it is stopped", async () => {
  const fromMs = Date.now();
  await run("sleeper", nodeAt(1));
  const workload = await waitFor("running", async () => {
    const { value } = workloadsOf((await read(nodeAt(1))).allocations);
    return value?.find(({ status }) => status === "running");
  }, { timeoutMs: SEEN_MS });
  expect(workload).toMatchObject({ job: "sleeper", namespace: "default", taskGroup: "sleepers" });
  expect(workload.createdAtMs).toBeGreaterThanOrEqual(fromMs);
  expect(workload.createdAtMs).toBeLessThanOrEqual(Date.now());

  const { allocations } = await read(nodeAt(1));
  expect(allocations.value?.find(({ id }) => id === workload.id)?.drivers).toEqual(["raw_exec"]);
  expect(workloadsOf((await read(nodeAt(0))).allocations)).toEqual({ value: [] });

  await end("sleeper");
  await waitFor("stopped", async () => {
    const { value } = workloadsOf((await read(nodeAt(1))).allocations);
    return value?.length === 0 ? true : undefined;
  }, { timeoutMs: SEEN_MS });
}, 2 * SEEN_MS);

test("an allocation that waits is queue depth", async () => {
  // A node that has just joined may have its own evaluations pending for a moment.
  await waitFor("an idle node", async () => (queueDepthOf(IDLE_SERF, await read(nodeAt(1))).value?.nomadWaiting === 0 ? true : undefined), { timeoutMs: SEEN_MS });
  await run("waiter", nodeAt(1), "never/written");
  const local = await waitFor("pending", async () => {
    const found = await read(nodeAt(1));
    return found.allocations.value?.some(({ clientStatus }) => clientStatus === "pending") ? found : undefined;
  }, { timeoutMs: SEEN_MS });
  expect(queueDepthOf(IDLE_SERF, { ...local, evaluations: measured([]) }).value).toEqual({ total: 1, serf: 0, nomadWaiting: 1 });
  expect(workloadsOf(local.allocations).value?.map(({ job, status }) => [job, status])).toEqual([["waiter", "pending"]]);
  await end("waiter");
  await waitFor("ended", async () => {
    const { value } = workloadsOf((await read(nodeAt(1))).allocations);
    return value?.length === 0 ? true : undefined;
  }, { timeoutMs: SEEN_MS });
}, 2 * SEEN_MS);

test("a system job that does not fit on a node is blocked there, and is that node's queue depth alone", async () => {
  const host = nodeAt(1);
  await register({
    ...jobOn("giant", host),
    Type: "system",
    TaskGroups: [{ Name: "giants", Tasks: [{ ...SLEEP, Resources: { CPU: 20, MemoryMB: 1_000_000_000 } }] }],
  });
  const local = await waitFor("blocked", async () => {
    const found = await read(host);
    return found.evaluations.value?.some(({ status }) => status === "blocked") ? found : undefined;
  }, { timeoutMs: SEEN_MS });
  expect(local.evaluations.value).toEqual([{ id: expect.any(String), jobId: "giant", status: "blocked" }]);
  expect(queueDepthOf(IDLE_SERF, local).value).toEqual({ total: 1, serf: 0, nomadWaiting: 1 });
  expect(queueDepthOf(IDLE_SERF, await read(nodeAt(0))).value).toEqual({ total: 0, serf: 0, nomadWaiting: 0 });
  await end("giant");
  await waitFor("waits no longer", async () => ((await read(host)).evaluations.value?.length === 0 ? true : undefined), { timeoutMs: SEEN_MS });
}, 2 * SEEN_MS);

test("what Nomad has collected is held no longer", async () => {
  await fetch(`${nodeAt(0).nomad?.httpUrl ?? ""}/v1/system/gc`, { method: "PUT" });
  const nomad = await nomadOf(nodeAt(1));
  // It matters to the tests that follow, too: as root, Nomad keeps mounts in the folder of an allocation that it holds.
  await waitFor("collected", async () => {
    const self = await nomad.self();
    return self.isClient && self.heldAllocations === 0 ? true : undefined;
  }, { timeoutMs: SEEN_MS });
  expect((await read(nodeAt(1))).allocations).toEqual({ value: [] });
}, 2 * SEEN_MS);

test("without Nomad workloads are unknown, not none, and the queue is Serf's alone", async () => {
  const nomad = await nomadOf(nodeAt(1));
  nodeAt(1).nomad?.kill();
  await nodeAt(1).nomad?.exited;
  const error = await nomad.self().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(NomadError);
  expect((error as NomadError).absent).toBe(true);

  const local = await read(nodeAt(1));
  expect(local.node.reason).toBe("nomad-unreachable");
  expect(workloadsOf(local.allocations)).toMatchObject({ value: undefined, reason: "nomad-unreachable" });
  expect(queueDepthOf(IDLE_SERF, local).value).toEqual({ total: 0, serf: 0 });
  expect(capabilitiesOf(local.node, BARE, ["gpu"]).names).toEqual(["gpu"]);
});
