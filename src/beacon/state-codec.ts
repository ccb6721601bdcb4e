/** Node states to payload bytes and back: workloads, the node's end of its links, its coordinate. As codec.ts for beacons. */
import { ibrl } from "../proto/messages.js";
import { header, integer, MAX_U32, messageIn, readHeader, RecordError, text } from "./codec.js";
import { readCoordinate, readLinkHalf, readProbe, writeCoordinate, writeLinkHalf } from "./link-codec.js";
import { KEY_BYTES } from "./keys.js";
import { readReference, writeReference } from "./proof-codec.js";
import { ENFORCEMENTS, MAX_WORK_OUTCOMES, type NodeState, type PolicyContext, type WorkOutcome, type Workload, type WorkloadSource } from "./record.js";

const wire = ibrl.v1;
/** Nomad runs far fewer allocations on a client; the bound keeps a state decodable in bounded time. */
const MAX_WORKLOADS = 10_000;
/** A node probes 8 peers and is probed by as many in the mean, at most by some dozens. */
const MAX_LINKS = 512;
const MAX_TAGS = 16;
const MAX_PORTS = 64;

export function encodeState(state: NodeState): Uint8Array {
  const payload: ibrl.v1.NodeState.$Properties = { ...header(state), node_id: state.nodeId, address: state.address };
  if (state.workloads !== undefined) {
    payload.workload_count = state.workloads.length;
    payload.workloads = state.workloads.map((w) => ({
      id: w.id,
      job: w.job,
      namespace: w.namespace,
      task_group: w.taskGroup,
      status: w.status,
      created_at_ms: w.createdAtMs,
      ...(w.source === undefined ? {} : { source: writeSource(w.source) }),
      ...(w.proof === undefined ? {} : { proof: writeReference(w.proof) }),
      endpoints: (w.endpoints ?? []).map(({ address, port }) => ({ address, port })),
    }));
  }
  if (state.probe !== undefined) {
    payload.probe_address = state.probe.address;
    payload.probe_port = state.probe.port;
    payload.probe_key = Buffer.from(state.probe.publicKey, "hex");
  }
  if (state.links !== undefined) payload.links = state.links.map(writeLinkHalf);
  if (state.coordinate !== undefined) payload.coordinate = writeCoordinate(state.coordinate);
  if (state.policy !== undefined) payload.policy = policyMessage(state.policy);
  if (state.workOutcomes !== undefined) payload.work_outcomes = state.workOutcomes.map(({ peerKey, ran, failed }) => ({ peer_key: Buffer.from(peerKey, "hex"), ran, failed }));
  readState(payload);
  return wire.NodeState.encode(payload).finish();
}

/** Throws like decodeBeacon. */
export function decodeState(payload: Uint8Array): NodeState {
  return readState(messageIn((bytes) => wire.NodeState.decode(bytes), payload));
}

function readState(m: ibrl.v1.NodeState.$Properties): NodeState {
  const state: NodeState = {
    ...readHeader(m),
    nodeId: text("node_id", m.node_id),
    address: text("address", m.address),
  };
  const count = m.workload_count === null || m.workload_count === undefined ? undefined : integer("workload_count", m.workload_count, MAX_WORKLOADS);
  const listed = m.workloads ?? [];
  if (listed.length !== (count ?? 0)) {
    throw new RecordError("workload_count", `${String(count)} stands beside ${String(listed.length)} workloads`);
  }
  if (count !== undefined) state.workloads = listed.map(readWorkload);
  const probe = readProbe(m);
  if (probe !== undefined) state.probe = probe;
  if ((m.links ?? []).length > MAX_LINKS) throw new RecordError("links", `more than ${String(MAX_LINKS)}`);
  if ((m.links ?? []).length > 0) state.links = (m.links ?? []).map(readLinkHalf);
  if (m.coordinate !== null && m.coordinate !== undefined) state.coordinate = readCoordinate(m.coordinate);
  if (m.policy !== null && m.policy !== undefined) state.policy = readPolicyContext(m.policy);
  if ((m.work_outcomes ?? []).length > 0) state.workOutcomes = readOutcomes(m.work_outcomes ?? []);
  return state;
}

function readOutcomes(listed: readonly ibrl.v1.WorkOutcome.$Properties[]): WorkOutcome[] {
  if (listed.length > MAX_WORK_OUTCOMES) throw new RecordError("work_outcomes", `more than ${String(MAX_WORK_OUTCOMES)}`);
  const outcomes = listed.map(({ peer_key: key, ran, failed }) => {
    if (key?.length !== KEY_BYTES) throw new RecordError("work_outcomes.peer_key", `must have ${String(KEY_BYTES)} bytes`);
    return { peerKey: Buffer.from(key).toString("hex"), ran: integer("work_outcomes.ran", ran, MAX_U32), failed: integer("work_outcomes.failed", failed, MAX_U32) };
  });
  if (outcomes.some(({ ran, failed }) => ran + failed === 0)) throw new RecordError("work_outcomes", "one says nothing");
  if (outcomes.some(({ peerKey }, i) => i > 0 && peerKey <= (outcomes[i - 1]?.peerKey ?? ""))) throw new RecordError("work_outcomes", "must stand in the order of their keys, each once");
  return outcomes;
}

/** Its fields are the ancestor's too. */
export function policyMessage({ id, tags, enforcement }: PolicyContext) {
  return { policy_id: id, tags: [...tags], enforcement_level: enforcement };
}

function readPolicyContext(m: ibrl.v1.PolicyContext.$Properties): PolicyContext {
  const enforcement = ENFORCEMENTS.find((level) => level === m.enforcement_level);
  if (enforcement === undefined) throw new RecordError("policy.enforcement_level", `${JSON.stringify(m.enforcement_level)} is neither enforce nor permissive`);
  const tags = m.tags ?? [];
  if (tags.length > MAX_TAGS) throw new RecordError("policy.tags", `more than ${String(MAX_TAGS)}`);
  return { id: text("policy.policy_id", m.policy_id), tags: tags.map((tag) => text("policy.tags", tag)), enforcement };
}

function readWorkload(w: ibrl.v1.Workload.$Properties): Workload {
  const source = w.source === null || w.source === undefined ? {} : { source: readSource(w.source) };
  return {
    id: text("workloads.id", w.id),
    job: text("workloads.job", w.job),
    namespace: text("workloads.namespace", w.namespace),
    taskGroup: text("workloads.task_group", w.task_group),
    status: text("workloads.status", w.status),
    createdAtMs: integer("workloads.created_at_ms", w.created_at_ms, Number.MAX_SAFE_INTEGER),
    ...source,
    ...(w.proof === null || w.proof === undefined ? {} : { proof: readReference(w.proof) }),
    ...readEndpoints(w.endpoints ?? []),
  };
}

function readEndpoints(listed: readonly ibrl.v1.Endpoint.$Properties[]): Pick<Workload, "endpoints"> {
  if (listed.length > MAX_PORTS) throw new RecordError("workloads.endpoints", `more than ${String(MAX_PORTS)}`);
  if (listed.length === 0) return {};
  return { endpoints: listed.map(({ address, port }) => ({ address: text("workloads.endpoints.address", address), port: integer("workloads.endpoints.port", port, 65_535) })) };
}

function writeSource({ requestId, decisionId, generation, imageRef, cores, memoryMb, ports, allowOverlap }: WorkloadSource): ibrl.v1.WorkloadSource.$Properties {
  return {
    request_id: requestId, decision_id: decisionId, generation, image_ref: imageRef, cores, memory_mb: memoryMb, allow_overlap: allowOverlap,
    ports: ports.map(({ host, workload }) => ({ host, workload })),
  };
}

function readSource(s: ibrl.v1.WorkloadSource.$Properties): WorkloadSource {
  const ports = s.ports ?? [];
  if (ports.length > MAX_PORTS) throw new RecordError("workloads.source.ports", `more than ${String(MAX_PORTS)}`);
  return {
    requestId: text("workloads.source.request_id", s.request_id),
    decisionId: text("workloads.source.decision_id", s.decision_id),
    generation: integer("workloads.source.generation", s.generation, MAX_U32),
    imageRef: text("workloads.source.image_ref", s.image_ref),
    cores: integer("workloads.source.cores", s.cores, MAX_U32),
    memoryMb: integer("workloads.source.memory_mb", s.memory_mb, MAX_U32),
    ports: ports.map(({ host, workload }) => ({
      host: integer("workloads.source.ports.host", host, 65_535),
      workload: integer("workloads.source.ports.workload", workload, 65_535),
    })),
    allowOverlap: s.allow_overlap ?? false,
  };
}
