/**
 * Node states to payload bytes and back: workloads, or the names of their batches, the node's end of its links, its
 * coordinate. As codec.ts for beacons.
 */
import { ibrl } from "../proto/messages.js";
import { header, integer, MAX_U32, messageIn, readHeader, RecordError, text } from "./codec.js";
import { readCoordinate, readLinkHalf, readProbe, writeCoordinate, writeLinkHalf } from "./link-codec.js";
import { KEY_BYTES } from "./keys.js";
import { ENFORCEMENTS, MAX_WORK_OUTCOMES, type NodeState, type PolicyContext, type WorkloadBatches, type WorkOutcome } from "./record.js";
import { BATCH_SIZE, batchesOf, batchNames, readWorkload, writeWorkload } from "./workload-codec.js";

const wire = ibrl.v1;
/** Nomad runs far fewer allocations on a client; the bound keeps a state decodable in bounded time. */
const MAX_WORKLOADS = 10_000;
const HASH_BYTES = 32;
/** A node probes 8 peers and is probed by as many in the mean, at most by some dozens. */
const MAX_LINKS = 512;
const MAX_TAGS = 16;

export function encodeState(state: NodeState): Uint8Array {
  const payload: ibrl.v1.NodeState.$Properties = { ...header(state), node_id: state.nodeId, address: state.address };
  const batches = state.workloads === undefined ? state.batches : batchNames(batchesOf(state.workloads), state.workloads.length);
  if (batches !== undefined) {
    payload.batched_workloads = batches.count;
    payload.workload_batches = batches.hashes.map((hash) => Buffer.from(hash, "hex"));
  } else if (state.workloads !== undefined) {
    payload.workload_count = state.workloads.length;
    payload.workloads = state.workloads.map(writeWorkload);
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
  const batches = readBatchNames(m);
  if (batches !== undefined && count !== undefined) throw new RecordError("workload_batches", "stand beside workloads");
  if (batches !== undefined) state.batches = batches;
  const probe = readProbe(m);
  if (probe !== undefined) state.probe = probe;
  if ((m.links ?? []).length > MAX_LINKS) throw new RecordError("links", `more than ${String(MAX_LINKS)}`);
  if ((m.links ?? []).length > 0) state.links = (m.links ?? []).map(readLinkHalf);
  if (m.coordinate !== null && m.coordinate !== undefined) state.coordinate = readCoordinate(m.coordinate);
  if (m.policy !== null && m.policy !== undefined) state.policy = readPolicyContext(m.policy);
  if ((m.work_outcomes ?? []).length > 0) state.workOutcomes = readOutcomes(m.work_outcomes ?? []);
  return state;
}

function readBatchNames(m: ibrl.v1.NodeState.$Properties): WorkloadBatches | undefined {
  const named = m.workload_batches ?? [];
  if ((m.batched_workloads === null || m.batched_workloads === undefined) && named.length === 0) return undefined;
  const count = integer("batched_workloads", m.batched_workloads, MAX_WORKLOADS);
  if (count <= BATCH_SIZE) throw new RecordError("batched_workloads", `${String(count)} fit into the state itself`);
  if (named.length !== Math.ceil(count / BATCH_SIZE)) throw new RecordError("workload_batches", `${String(named.length)} for ${String(count)} workloads`);
  if (named.some((hash) => hash.length !== HASH_BYTES)) throw new RecordError("workload_batches", `a hash must have ${String(HASH_BYTES)} bytes`);
  const hashes = named.map((hash) => Buffer.from(hash).toString("hex"));
  if (new Set(hashes).size !== hashes.length) throw new RecordError("workload_batches", "one is named twice");
  return { count, hashes };
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
