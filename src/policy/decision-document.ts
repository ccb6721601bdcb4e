/**
 * Decisions as they lie in Consul's KV, under their own ID: `decision` for people, `sealed` for readers. The ID is the
 * beginning of the hash of the sealed record, so that no other record can lie in its place.
 */
import type { KeyObject } from "node:crypto";
import { DECISIONS_PREFIX } from "../beacon/documents.js";
import { openStatement, seal, type Signed } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import { reject, type Rejection } from "../beacon/rejection.js";
import type { Decision } from "./decide.js";
import { DECISION, fitRecord } from "./decision-codec.js";
import { chosenOf, type Decider, type DecisionRecord, recordOf } from "./decision-record.js";

/** Half of a SHA-256: no two decisions share it, nor can anybody make them. */
const ID_LENGTH = 32;
export const DECISION_ID_RULE = /^[0-9a-f]{32}$/;

export interface SealedDecision {
  id: string;
  /** What is put under `key`. */
  key: string;
  document: string;
  signed: Signed<DecisionRecord>;
}

export type OpenedDecision = { ok: true; id: string; signed: Signed<DecisionRecord> } | Rejection;

/** Signs a decision in the name of the node that made it. Throws RecordError or SealError: a field or size that no record may have. */
export function sealDecision(decision: Decision, decider: Decider, identity: { publicKey: Uint8Array; privateKey: KeyObject }, keys: KeyAdmission): SealedDecision {
  const opened = openStatement(DECISION, seal(DECISION, fitRecord(recordOf(decision, decider)), identity), keys);
  if (!opened.ok) throw new Error(`a decision that this node sealed does not open: ${opened.reason}: ${opened.detail}`);
  const { signed } = opened;
  const id = idOf(signed);
  const document = JSON.stringify({ v: 1, decision: readable(id, signed), sealed: Buffer.from(signed.sealed).toString("base64") }, null, 1);
  return { id, key: decisionKey(id), document, signed };
}

export function decisionKey(id: string): string {
  return `${DECISIONS_PREFIX}${id}`;
}

/**
 * What `id` leads to, verified: signature, payload, ID, and the readable copy. Who may decide is the reader's to judge by
 * the key. Never throws.
 */
export function openDecision(id: string, value: Uint8Array, keys: KeyAdmission): OpenedDecision {
  let document: Record<string, unknown>;
  try {
    document = JSON.parse(Buffer.from(value).toString("utf8")) as Record<string, unknown>;
    if (document["v"] !== 1 || typeof document["sealed"] !== "string") return reject("malformed-envelope", "not a decision's document");
  } catch {
    return reject("malformed-envelope", "not a decision's document");
  }
  const opened = openStatement(DECISION, Buffer.from(document["sealed"], "base64"), keys);
  if (!opened.ok) return opened;
  const found = idOf(opened.signed);
  if (found !== id) return reject("wrong-node", `decision ${found} lies in the place of ${id}`);
  if (JSON.stringify(document["decision"]) !== JSON.stringify(readable(id, opened.signed))) return reject("readable-mismatch", "the readable copy says something else than the sealed decision");
  return { ok: true, id, signed: opened.signed };
}

/** The sealed record alone, as a file of proofs has it. Never throws. */
export function openSealedDecision(sealed: Uint8Array, keys: KeyAdmission): OpenedDecision {
  const opened = openStatement(DECISION, sealed, keys);
  return opened.ok ? { ok: true, id: idOf(opened.signed), signed: opened.signed } : opened;
}

/** The sealed record in a document; undefined where it is none. Not verified. */
export function sealedDecisionIn(document: Uint8Array): Uint8Array | undefined {
  try {
    const { sealed } = JSON.parse(Buffer.from(document).toString("utf8")) as { sealed?: unknown };
    return typeof sealed === "string" ? Buffer.from(sealed, "base64") : undefined;
  } catch {
    return undefined;
  }
}

function idOf({ hash }: Signed<DecisionRecord>): string {
  return hash.slice(0, ID_LENGTH);
}

function readable(id: string, { record, beaconId }: Signed<DecisionRecord>) {
  return {
    id,
    decidedAt: new Date(record.decidedAtMs).toISOString(),
    node: record.node,
    datacenter: record.datacenter,
    beaconId,
    job: record.job ?? null,
    policies: record.policies.map(({ role, name, mode, hash }) => ({ role, name, mode, hash })),
    chosen: chosenOf(record)?.facts.node ?? null,
    ...record.counts,
  };
}
