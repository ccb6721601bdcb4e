/** Whose Nomad it is, what waits and runs on this node, and that unknown stays unknown. */
import { type NomadAgentSelf, type NomadAllocation, type NomadApi, NomadError, type NomadEvaluation, type NomadNode } from "../../src/sidecar/nomad-api.js";
import { ConsulError } from "../../src/sidecar/consul-api.js";
import { type LocalIdentity, readLocalNomad } from "../../src/sidecar/readings/local-nomad.js";
import { queueDepthOf } from "../../src/sidecar/readings/queue-depth.js";
import { measured, readingOf, unmeasured } from "../../src/sidecar/readings/reading.js";
import { workloadsOf } from "../../src/sidecar/readings/workloads.js";

const CLIENT: NomadAgentSelf = { isClient: true, nodeId: "n1", heldAllocations: 0, aclEnabled: false };
const HERE: LocalIdentity = { consulNode: "web-1", hostname: "host-1" };

function allocation(id: string, clientStatus: string, desiredStatus = "run"): NomadAllocation {
  return { id, jobId: "job", namespace: "default", taskGroup: "group", clientStatus, desiredStatus, createdAtMs: 1_700_000_000_000 };
}

function node(attributes: Record<string, string>): NomadNode {
  return { id: "n1", name: "nomad-1", status: "ready", drivers: new Map(), attributes: new Map(Object.entries(attributes)) };
}

function nomad(parts: { self?: NomadAgentSelf; node?: NomadNode; allocations?: NomadAllocation[]; evaluations?: NomadEvaluation[] }): NomadApi {
  const answer = <T>(operation: string, value: T | undefined): Promise<T> =>
    value === undefined ? Promise.reject(new NomadError("permission", operation, `${operation} refused`)) : Promise.resolve(value);
  return {
    self: () => answer("self", parts.self),
    node: () => answer("node", parts.node),
    allocations: () => answer("allocations", parts.allocations),
    waitingEvaluations: () => answer("waitingEvaluations", parts.evaluations),
  };
}

describe("the local Nomad", () => {
  test.each<[string, Record<string, string>, LocalIdentity, boolean]>([
    ["names our Consul node", { "unique.consul.name": "web-1", "unique.hostname": "else" }, HERE, true],
    ["names another Consul node on this very host", { "unique.consul.name": "web-2", "unique.hostname": "host-1" }, HERE, false],
    ["names none and has our host name", { "unique.hostname": "host-1" }, HERE, true],
    ["names none and has another host name", { "unique.hostname": "host-2" }, HERE, false],
    ["says nothing", {}, HERE, false],
    ["names one while we have no Consul, on our host", { "unique.consul.name": "web-1", "unique.hostname": "host-1" }, { hostname: "host-1" }, true],
    ["names one while we have no Consul, on another", { "unique.consul.name": "web-1", "unique.hostname": "x" }, { hostname: "host-1" }, false],
  ])("%s", async (_, attributes, identity, ours) => {
    const local = await readLocalNomad(nomad({ self: CLIENT, node: node(attributes), allocations: [] }), identity);
    expect(local.node.value?.id).toBe(ours ? "n1" : undefined);
    expect(local.node.reason).toBe(ours ? undefined : "nomad-other-node");
    expect(local.allocations).toEqual(ours ? { value: [] } : local.node);
    expect(local.evaluations.reason).toBe(ours ? "nomad-permission" : "nomad-other-node");
  });

  const OURS = node({ "unique.consul.name": "web-1" });

  test("is unmeasured where the agent is a server only", async () => {
    const local = await readLocalNomad(nomad({ self: { isClient: false, aclEnabled: false } }), HERE);
    expect([local.node.reason, local.allocations.reason]).toEqual(["nomad-not-a-client", "nomad-not-a-client"]);
  });

  test.each([
    [{}, "nomad-permission", "nomad-permission"],
    [{ self: CLIENT }, "nomad-permission", "nomad-permission"],
    [{ self: CLIENT, node: OURS }, undefined, "nomad-permission"],
  ])("a refused call costs what depends on it and nothing else (%#)", async (parts, nodeReason, allocationsReason) => {
    const local = await readLocalNomad(nomad(parts), HERE);
    expect([local.node.reason, local.allocations.reason]).toEqual([nodeReason, allocationsReason]);
  });

  test.each([
    ["with ACLs, fewer shown than held", true, 2, 1, "nomad-allocations-hidden"],
    ["with ACLs, all shown", true, 1, 1, undefined],
    ["with ACLs, more than the client still holds", true, 0, 1, undefined],
    ["without ACLs nothing is hidden: the servers have collected one already", false, 2, 1, undefined],
  ])("%s", async (_, aclEnabled, heldAllocations, shown, reason) => {
    const allocations = Array.from({ length: shown }, (__, i) => allocation(String(i), "running"));
    const local = await readLocalNomad(nomad({ self: { ...CLIENT, aclEnabled, heldAllocations }, node: OURS, allocations }), HERE);
    expect(local.allocations.reason).toBe(reason);
  });
});

test("workloads are what runs and what waits to run, by ID", () => {
  const all = [
    allocation("e", "running"),
    allocation("d", "running", "stop"),
    allocation("c", "pending"),
    allocation("b", "pending", "stop"),
    ...["complete", "failed", "lost", "unknown"].map((status) => allocation(`a-${status}`, status)),
  ];
  expect(workloadsOf(measured(all)).value?.map(({ id, status }) => [id, status])).toEqual([
    ["c", "pending"],
    ["d", "running"],
    ["e", "running"],
  ]);
  expect(workloadsOf(measured([allocation("e", "running")])).value).toEqual([
    { id: "e", job: "job", namespace: "default", taskGroup: "group", status: "running", createdAtMs: 1_700_000_000_000 },
  ]);
});

test("no workloads and no Nomad are different answers", () => {
  expect(workloadsOf(measured([]))).toEqual({ value: [] });
  expect(workloadsOf(unmeasured("nomad-unreachable"))).toEqual({ value: undefined, reason: "nomad-unreachable" });
});

describe("queue depth", () => {
  const EVALUATION: NomadEvaluation = { id: "e1", jobId: "job", status: "blocked" };
  const none = measured<never[]>([]);
  const gone = unmeasured("nomad-unreachable");
  const agent = measured({ serfQueues: { intent: 1, event: 20, query: 300 } });

  test("is Serf's queues and what waits in Nomad", () => {
    const waiting = measured([allocation("a", "pending"), allocation("b", "pending", "stop"), allocation("c", "running")]);
    const evaluations = measured([EVALUATION, { ...EVALUATION, id: "e2", status: "pending" as const }]);
    expect(queueDepthOf(agent, { allocations: waiting, evaluations })).toEqual({ value: { total: 324, serf: 321, nomadWaiting: 3 } });
    expect(queueDepthOf(agent, { allocations: none, evaluations: none })).toEqual({ value: { total: 321, serf: 321, nomadWaiting: 0 } });
  });

  test.each([
    ["Nomad", gone, gone],
    ["a right to read allocations", gone, measured([EVALUATION])],
    ["a right to read evaluations", measured([allocation("a", "pending")]), gone],
  ])("without %s is Serf's queues alone, and says so", (_, allocations, evaluations) => {
    expect(queueDepthOf(agent, { allocations, evaluations })).toEqual({ value: { total: 321, serf: 321 } });
  });

  test("without Consul is unknown, whatever Nomad has queued", () => {
    expect(queueDepthOf(unmeasured("consul-unreachable"), { allocations: measured([allocation("a", "pending")]), evaluations: none })).toEqual({
      value: undefined,
      reason: "consul-unreachable",
    });
  });
});

describe("a failed call", () => {
  test.each([
    [new ConsulError("no-leader", "x", "why"), "consul-no-leader"],
    [new NomadError("timeout", "x", "why"), "nomad-timeout"],
  ])("becomes a reason: %s", async (error, reason) => {
    expect(await readingOf(Promise.reject(error))).toEqual({ value: undefined, reason, detail: "why" });
  });

  test.each([new NomadError("aborted", "x", "why"), new ConsulError("aborted", "x", "why"), new TypeError("a bug")])(
    "is no reading where nobody waits or nobody expected it: %s",
    async (error) => {
      await expect(readingOf(Promise.reject(error))).rejects.toBe(error);
    },
  );
});
