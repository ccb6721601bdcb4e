/**
 * Why a record is not believed. Expected outcomes, so they are values; each reason is a label of the counter
 * `hypercore_ibrl_records_rejected_total` and has its vector in test/vectors/.
 */

export const REJECT_REASONS = [
  "oversized", // more bytes than any honest record of its purpose has
  "malformed-envelope", // not an envelope, or not in the one encoding that we write
  "wrong-purpose", // signed as something else than what it is offered as
  "bad-key", // not canonical, small-order, or with a torsion component
  "bad-signature",
  "malformed-payload", // signed, but it says something impossible
  "incomplete", // a batch of workloads that it names by its hash is not beside it
  "wrong-node", // speaks for another node or datacenter than the carrier it came by
  "issued-in-future", // by more than the allowed skew
  "expired", // older than its validity
  "readable-mismatch", // the readable copies beside it say something else
  "unknown-node", // an event in the name of a node that no pin names, and that runs no sidecar by Consul's catalog
  "superseded", // an older record than the one held
  "equivocation", // same epoch and sequence, other bytes
  "pin-conflict", // another key is pinned for the node
  "superseded-key", // the node rotated this key away
  "id-collision", // another key has the same 8-byte ID
] as const;

export type RejectReason = (typeof REJECT_REASONS)[number];

export interface Rejection {
  ok: false;
  reason: RejectReason;
  /** For people: what was found and what was expected. */
  detail: string;
}

export function reject(reason: RejectReason, detail: string): Rejection {
  return { ok: false, reason, detail };
}
