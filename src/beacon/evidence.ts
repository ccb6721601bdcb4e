/**
 * Evidence: signed records that one honest process with one key cannot have made, kept so that anybody can check them.
 *
 *   equivocation       one key, one (epoch, sequence), two records: proof, whoever looks
 *   id-collision       a record by another key with the 8-byte ID of a pinned one: proof, and of long work
 *   duplicate-process  one key speaks for two nodes, or its records are out of order by their own times. The process that
 *                      owns the key knows what it has signed; to others it is two processes or a clock that was set back
 *
 * Age is not looked at: evidence outlives the records' validity. Pure.
 */
import { BEACON, openStatement, STATE, type Signed } from "./envelope.js";
import { beaconId, type KeyAdmission } from "./keys.js";
import { type Beacon, compareOrder, NAME_RULE, type NodeState } from "./record.js";

export const CONTRADICTIONS = ["equivocation", "id-collision", "duplicate-process"] as const;
export type ContradictionKind = (typeof CONTRADICTIONS)[number];

type Told = Signed<Beacon | NodeState>;

export interface EvidenceRecord {
  purpose: "beacon" | "state";
  sealed: Uint8Array;
}

export interface Contradiction {
  kind: ContradictionKind;
  /** Of the record that came later. */
  node: string;
  datacenter: string;
  /** The earlier first; of an ID collision only the newcomer's where the pinned key has said nothing here. */
  records: readonly EvidenceRecord[];
  /** Hex of the pinned key, of an ID collision. */
  pinnedKey?: string;
}

export interface Evidence extends Contradiction {
  seenAtMs: number;
}

export function equivocation(purpose: EvidenceRecord["purpose"], earlier: Told, later: Told): Contradiction {
  return contradiction("equivocation", later, [{ purpose, sealed: earlier.sealed }, { purpose, sealed: later.sealed }]);
}

export function idCollision(pinnedKey: string, held: Signed<Beacon> | undefined, newcomer: Signed<Beacon>): Contradiction {
  const records = [held, newcomer].flatMap((told) => (told === undefined ? [] : [{ purpose: "beacon" as const, sealed: told.sealed }]));
  return { ...contradiction("id-collision", newcomer, records), pinnedKey };
}

export function duplicateProcess(own: Signed<Beacon>, other: Signed<Beacon>): Contradiction {
  return contradiction("duplicate-process", other, [{ purpose: "beacon", sealed: own.sealed }, { purpose: "beacon", sealed: other.sealed }]);
}

/** Whether the later of two records of one node, by its own time, is the earlier by its order: no process goes back. */
export function isInverted(a: Told, b: Told): boolean {
  const order = compareOrder(a.record, b.record);
  return order === 0 ? a.hash !== b.hash : order < 0 ? a.record.issuedAtMs > b.record.issuedAtMs : a.record.issuedAtMs < b.record.issuedAtMs;
}

export type Verdict = { ok: true; records: readonly Told[] } | { ok: false; reason: string };

/** Both signatures, and that the records contradict each other in the way that is said. Never throws. */
export function verifyEvidence(evidence: Contradiction, keys: KeyAdmission): Verdict {
  const records: Told[] = [];
  for (const { purpose, sealed } of evidence.records) {
    const opened = purpose === "beacon" ? openStatement(BEACON, sealed, keys) : openStatement(STATE, sealed, keys);
    if (!opened.ok) return { ok: false, reason: `${opened.reason}: ${opened.detail}` };
    records.push(opened.signed);
  }
  const [first, second] = records;
  const named = records.at(-1)?.record;
  if (named?.node !== evidence.node || named.datacenter !== evidence.datacenter) return { ok: false, reason: `no record in it speaks for ${evidence.node}` };
  if (evidence.kind === "id-collision") return collides(evidence.pinnedKey ?? "", records);
  if (first === undefined || second === undefined || records.length > 2) return { ok: false, reason: "it takes two records" };
  if (first.key.hex !== second.key.hex) return { ok: false, reason: "two keys signed the records" };
  const isTwin = first.record.node !== second.record.node || isInverted(first, second);
  const contradicts = evidence.kind === "duplicate-process" ? isTwin : isEquivocation(evidence, first, second);
  return contradicts ? { ok: true, records } : { ok: false, reason: "one process may have signed both records" };
}

function isEquivocation({ records: [a, b] }: Contradiction, first: Told, second: Told): boolean {
  const samePlace = first.record.node === second.record.node && first.record.datacenter === second.record.datacenter;
  // A beacon and a state of one beat share their sequence.
  return samePlace && a?.purpose === b?.purpose && compareOrder(first.record, second.record) === 0 && first.hash !== second.hash;
}

function collides(pinnedKey: string, records: readonly Told[]): Verdict {
  const [newcomer, held] = [records.at(-1), records.length > 1 ? records[0] : undefined];
  const isOther = newcomer !== undefined && newcomer.key.hex !== pinnedKey && newcomer.beaconId === beaconId(Buffer.from(pinnedKey, "hex"));
  const isHeld = held === undefined || held.key.hex === pinnedKey;
  return isOther && isHeld && records.length < 3 ? { ok: true, records } : { ok: false, reason: "the two keys do not have one ID" };
}

export function evidenceDocument({ kind, node, datacenter, seenAtMs, pinnedKey, records }: Evidence): Record<string, unknown> {
  const rows = records.map(({ purpose, sealed }) => ({ purpose, sealed: Buffer.from(sealed).toString("base64") }));
  return { v: 1, kind, node, datacenter, seenAt: new Date(seenAtMs).toISOString(), ...(pinnedKey === undefined ? {} : { pinnedKey }), records: rows };
}

/** Null for anything that has not the shape; what it shows is verifyEvidence's to find out. */
export function readEvidenceDocument(document: unknown): Evidence | null {
  const { v, kind, node, datacenter, seenAt, pinnedKey, records } = (document ?? {}) as Record<string, unknown>;
  const seenAtMs = typeof seenAt === "string" ? Date.parse(seenAt) : Number.NaN;
  const named = CONTRADICTIONS.find((each) => each === kind);
  if (v !== 1 || named === undefined || !isName(node) || !isName(datacenter) || Number.isNaN(seenAtMs) || !Array.isArray(records)) return null;
  if (pinnedKey !== undefined && !(typeof pinnedKey === "string" && /^[0-9a-f]{64}$/.test(pinnedKey))) return null;
  const rows: EvidenceRecord[] = [];
  for (const row of records as unknown[]) {
    const { purpose, sealed } = (row ?? {}) as Record<string, unknown>;
    if ((purpose !== "beacon" && purpose !== "state") || typeof sealed !== "string") return null;
    rows.push({ purpose, sealed: Buffer.from(sealed, "base64") });
  }
  return { kind: named, node, datacenter, seenAtMs, records: rows, ...(pinnedKey === undefined ? {} : { pinnedKey }) };
}

function contradiction(kind: ContradictionKind, { record }: Told, records: readonly EvidenceRecord[]): Contradiction {
  return { kind, node: record.node, datacenter: record.datacenter, records };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && NAME_RULE.test(value);
}
