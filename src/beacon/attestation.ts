/**
 * What a node signs for somebody who asks now: that its key speaks for it, what its state is, that a workload is in it.
 * The asker's nonce is in it, so that no old answer and nobody else's passes; the bytes are under a domain of their own. Pure.
 */
import { ibrl } from "../proto/messages.js";
import { header, messageIn, readHeader, RecordError, text } from "./codec.js";
import { open, type OpenContext, type Purpose, type Verified } from "./envelope.js";
import { compareOrder, type NodeState, type RecordHeader } from "./record.js";
import { HASH_BYTES } from "./merkle.js";
import type { RejectReason } from "./rejection.js";

const wire = ibrl.v1;
/** In the order of their numbers on the wire, from 1. */
export const ATTESTATION_TYPES = ["NODE_IDENTITY", "STATE_HASH", "WORKLOAD"] as const;
export type AttestationType = (typeof ATTESTATION_TYPES)[number];
export const NONCE_BYTES = { least: 16, most: 64 } as const;

/** Epoch and sequence are those of the state that it attests to. */
export interface Attestation extends RecordHeader {
  type: AttestationType;
  /** The asker's, lower-case hex. */
  nonce: string;
  /** The Consul node ID (UUID). */
  nodeId: string;
  /** Lower-case hex SHA-256 of the sealed state. */
  stateHash: string;
  /** Of a WORKLOAD, and of no other. */
  workload?: AttestedWorkload;
}

export interface AttestedWorkload {
  allocation: string;
  job: string;
  namespace: string;
  /** Nomad's client status in that state. */
  status: string;
}

export const ATTESTATION: Purpose<Attestation> = {
  domain: "ibrl/v1/attestation",
  type: wire.PayloadType.ATTESTATION,
  maxBytes: 8 * 1024,
  encode: (attestation) => {
    const { type, nonce, nodeId, stateHash, workload } = attestation;
    const message: ibrl.v1.Attestation.$Properties = {
      ...header(attestation), ...workload,
      type: ATTESTATION_TYPES.indexOf(type) + 1,
      nonce: Buffer.from(nonce, "hex"),
      node_id: nodeId,
      state_hash: Buffer.from(stateHash, "hex"),
    };
    readAttestation(message);
    return wire.Attestation.encode(message).finish();
  },
  decode: (payload) => readAttestation(messageIn((bytes) => wire.Attestation.decode(bytes), payload)),
};

function readAttestation(m: ibrl.v1.Attestation.$Properties): Attestation {
  const type = ATTESTATION_TYPES[(m.type ?? 0) - 1];
  if (type === undefined) throw new RecordError("type", `${String(m.type)} is none of ${ATTESTATION_TYPES.join(", ")}`);
  const nonce = m.nonce ?? new Uint8Array();
  if (!isNonce(nonce)) throw new RecordError("nonce", `${String(nonce.length)} bytes; it takes ${String(NONCE_BYTES.least)} to ${String(NONCE_BYTES.most)}`);
  const stateHash = m.state_hash ?? new Uint8Array();
  if (stateHash.length !== HASH_BYTES) throw new RecordError("state_hash", `must have ${String(HASH_BYTES)} bytes`);
  const workload = { allocation: text("allocation", m.allocation), job: text("job", m.job), namespace: text("namespace", m.namespace), status: text("status", m.status) };
  if ((type === "WORKLOAD") !== (workload.allocation !== "")) throw new RecordError("allocation", `${JSON.stringify(workload.allocation)} does not go with ${type}`);
  return {
    ...readHeader(m),
    type,
    nonce: Buffer.from(nonce).toString("hex"),
    nodeId: text("node_id", m.node_id),
    stateHash: Buffer.from(stateHash).toString("hex"),
    ...(type === "WORKLOAD" ? { workload } : {}),
  };
}

export function isNonce(bytes: Uint8Array): boolean {
  return bytes.length >= NONCE_BYTES.least && bytes.length <= NONCE_BYTES.most;
}

export interface Asked {
  type: AttestationType;
  nonce: string;
  /** Of a WORKLOAD: its allocation, or its job. */
  workload?: string;
}

export type AttestationReason = RejectReason | "wrong-nonce" | "wrong-type" | "wrong-key" | "wrong-state" | "wrong-workload";
export type CheckedAttestation = { ok: true; verified: Verified<Attestation> } | { ok: false; reason: AttestationReason; detail: string };

/**
 * `state`: the one that the checker holds of the node, which says whose key to expect. `superseded` where it is newer than what is
 * attested to; `wrong-state` where it is older, or another. Never throws on any bytes.
 */
export function checkAttestation(bytes: Uint8Array, asked: Asked, context: OpenContext, state: Verified<NodeState>): CheckedAttestation {
  const opened = open(ATTESTATION, bytes, context);
  if (!opened.ok) return opened;
  const { record, key } = opened.verified;
  const refuse = (reason: AttestationReason, detail: string): CheckedAttestation => ({ ok: false, reason, detail });
  if (record.nonce !== asked.nonce) return refuse("wrong-nonce", `it answers ${record.nonce}; asked was ${asked.nonce}`);
  if (record.type !== asked.type) return refuse("wrong-type", `it is a ${record.type}; asked was a ${asked.type}`);
  if (key.hex !== state.key.hex) return refuse("wrong-key", `signed by ${key.hex}; the node's state by ${state.key.hex}`);
  if (record.nodeId !== state.record.nodeId) return refuse("wrong-node", `for the Consul node ${record.nodeId}; the state is that of ${state.record.nodeId}`);
  const order = compareOrder(record, state.record);
  if (order < 0) return refuse("superseded", "it attests to a state that is older than the one held");
  if (order > 0) return refuse("wrong-state", `it attests to state ${orderText(record)}; held is ${orderText(state.record)}`);
  if (record.stateHash !== state.hash) return refuse("wrong-state", `it attests to a state of hash ${record.stateHash}; held is ${state.hash}`);
  const { workload } = record;
  if (workload === undefined) return opened;
  if (asked.workload !== workload.allocation && asked.workload !== workload.job) return refuse("wrong-workload", `it is about ${workload.allocation}; asked was ${asked.workload ?? ""}`);
  const listed = state.record.workloads?.find(({ id }) => id === workload.allocation);
  if (listed === undefined || listed.job !== workload.job || listed.namespace !== workload.namespace || listed.status !== workload.status) {
    return refuse("wrong-workload", `${workload.allocation} is not so in the state that it attests to`);
  }
  return opened;
}

function orderText({ epoch, sequence }: RecordHeader): string {
  return `${String(epoch)}/${String(sequence)}`;
}
