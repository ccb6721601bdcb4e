/**
 * NodeViews to the ancestor's NodesStateResponse. Pure. The readable fields are derived from the verified payload, so
 * that an ancestor's client shows them; the sealed bytes go beside them, so that ours verifies for itself
 * (view-of.ts, the way back). Unknown is absent, a known zero is written. Units are the ancestor's: milliseconds,
 * percent, dollars for 10^9 bytes, Unix seconds.
 */
import type { Verified } from "../../beacon/envelope.js";
import { isBelieved, type NodeView, type Reputation } from "../../beacon/node-view.js";
import { policyMessage } from "../../beacon/state-codec.js";
import type { Beacon, NodeState, ProofReference, Workload } from "../../beacon/record.js";
import { reputationHash } from "../../beacon/reputation-document.js";
import { believedRecords, reputationsFrom } from "../../beacon/reputation-views.js";
import type { cluster } from "../../proto/messages.js";

export type NodeStateMessage = cluster.services.api.NodeStateResponse.$Properties;
export type NodesStateMessage = cluster.services.api.NodesStateResponse.$Properties;
export type BeaconMessage = cluster.services.api.BeaconMetadata.$Properties;
type WorkloadMessage = cluster.services.api.WorkloadState.$Properties;

/** With what a client's own scores over these records come to, if it computes like us. */
export function listMessageOf(views: readonly NodeView[]): NodesStateMessage {
  const believed = believedRecords(views);
  const message: NodesStateMessage = { states: views.map(messageOf) };
  if (believed.states.length > 0) message.reputation_sha256 = reputationHash(reputationsFrom(believed));
  return message;
}

/**
 * A node that is not believed has no `beacon` and no workloads, because an ancestor's client knows nothing of
 * `trust` and would take them for good; the sealed bytes stay as evidence.
 */
export function messageOf(view: NodeView): NodeStateMessage {
  const message: NodeStateMessage = {
    node: { id: view.id, ip: view.address, name: view.name, datacenter: view.datacenter },
    trust: view.trust,
  };
  if (view.detail !== undefined) message.trust_detail = view.detail;
  if (view.alive !== undefined) message.alive = view.alive;
  if (view.beacon !== undefined) message.sealed_beacon = view.beacon.sealed;
  if (view.state !== undefined) message.sealed_state = view.state.sealed;
  const batches = view.state?.record.batches?.bytes;
  if (batches !== undefined) message.workload_batches = [...batches];
  if (!isBelieved(view.trust)) return message;
  if (view.rotations !== undefined) message.sealed_rotations = view.rotations.flatMap(({ sealed }) => [sealed.byOld, sealed.byNew]);
  if (view.beacon !== undefined) message.beacon = beaconMessage(view.beacon, view.reputation);
  if (view.state !== undefined) {
    message.workloads = workloadMessages(view.state.record);
    message.state_signature = signatureText(view.state);
    const { policy } = view.state.record;
    if (policy !== undefined) message.policy = policyMessage(policy);
  }
  return message;
}

export function beaconMessage(verified: Verified<Beacon>, reputation?: Reputation): BeaconMessage {
  const { record } = verified;
  const message: BeaconMessage = {
    beacon_node_id: verified.beaconId,
    node_signature: verified.signature,
    timestamp: Math.floor(record.issuedAtMs / 1_000),
    reputation_score: reputation === undefined ? "" : reputation.score.toFixed(2),
    node_capabilities: [...record.capabilities],
  };
  if (reputation !== undefined) message.reputation_observers = reputation.observers;
  if (record.latency !== undefined) message.latency_ms = record.latency.us / 1_000;
  if (record.jitterUs !== undefined) message.jitter_ms = record.jitterUs / 1_000;
  if (record.lossRatio !== undefined) message.packet_loss = percent(record.lossRatio);
  if (record.queueDepth !== undefined) message.queue_depth = record.queueDepth;
  if (record.priceMicroUsdPerGb !== undefined) message.price_per_gb = record.priceMicroUsdPerGb / 1_000_000;
  return message;
}

export function workloadMessages(state: NodeState): WorkloadMessage[] {
  return (state.workloads ?? []).map(workloadMessage);
}

/** A workload that was placed here is known by its job, which outlives each allocation; any other by its allocation. */
function workloadMessage({ id, job, source, proof: reference }: Workload): WorkloadMessage {
  const proof = reference === undefined ? {} : { proof: proofMessage(reference) };
  if (source === undefined) return { id, allocation_id: id, ...proof };
  const { requestId, decisionId, generation, imageRef, cores, memoryMb, ports, allowOverlap } = source;
  return {
    id: job,
    source_request: {
      cores, memory: memoryMb, image_ref: imageRef, request_id: requestId, allow_overlap: allowOverlap,
      ports: Object.fromEntries(ports.map(({ host, workload }) => [host, workload])),
    },
    allocation_id: id,
    decision_id: decisionId,
    generation,
    ...proof,
  };
}

/** Its metrics are numbers as text, by the units in their names; what Nomad does not tell is absent. */
function proofMessage({ hash, signature, issuedAtMs, driver, totals, cpuPpm, memoryBytes }: ProofReference): cluster.services.api.WorkloadProof.$Properties {
  const metrics = { watched_ms: totals.watchedMs, gap_ms: totals.gapMs, restarts: totals.restarts, cpu_ppm: cpuPpm, memory_bytes: memoryBytes };
  return {
    proof_hash: hash,
    proof_signature: Buffer.from(signature, "hex"),
    metrics: Object.fromEntries(Object.entries(metrics).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))),
    proof_timestamp: Math.floor(issuedAtMs / 1_000),
    hypervisor_type: driver,
    ...(totals.traffic === undefined ? {} : { bytes_in: totals.traffic.bytesIn, bytes_out: totals.traffic.bytesOut, metered_ms: totals.traffic.meteredMs }),
  };
}

/** Whether the traffic that was sent is the signed one. An earlier version of the sidecar sends none. */
export function trafficAgrees(sent: cluster.services.api.WorkloadProof.$Properties | null | undefined, signed: cluster.services.api.WorkloadProof.$Properties | null | undefined): boolean {
  return (["bytes_in", "bytes_out", "metered_ms"] as const).every((field) => sent?.[field] === null || sent?.[field] === undefined || String(sent[field]) === String(signed?.[field]));
}

/** To compare what was sent with what was signed. */
export function proofText(proof: cluster.services.api.WorkloadProof.$Properties | null | undefined): string {
  if (proof === null || proof === undefined) return "";
  const { proof_hash, proof_signature, metrics, proof_timestamp, hypervisor_type } = proof;
  return JSON.stringify([proof_hash, Buffer.from(proof_signature ?? []).toString("hex"), Object.entries(metrics ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)), Number(proof_timestamp), hypervisor_type]);
}

export function signatureText(state: Verified<NodeState>): string {
  return Buffer.from(state.signature).toString("base64");
}

/** By way of ppm, the step in which a ratio is signed: 0.07 times 100 alone would be 7.000000000000001. */
function percent(ratio: number): number {
  return Math.round(ratio * 1_000_000) / 10_000;
}
