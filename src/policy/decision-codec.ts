/**
 * Decision records to payload bytes and back, and how a record of many candidates is made to fit. Integers in fixed units,
 * each field checked on the way in; encoding what was decoded gives the same bytes. Wire format: proto/ibrl.proto.
 */
import { createHash } from "node:crypto";
import { fromBits, toBits } from "../beacon/capabilities.js";
import { integer, MAX_U32, name, optional, RecordError, text } from "../beacon/codec.js";
import type { Purpose } from "../beacon/envelope.js";
import { TRUST_STATES } from "../beacon/registry.js";
import { ibrl } from "../proto/messages.js";
import { LINK_FACT_STATES, type LinkFact } from "./candidate.js";
import { readPolicies, writePolicy } from "./decision-codec-policies.js";
import type { MoveReason } from "./decide.js";
import type { BriefCandidate, DecisionRecord, RecordedCandidate, RecordedFacts } from "./decision-record.js";
import { STATUS_NAMES, VERDICTS } from "./evaluator.js";
import type { Needs } from "./needs.js";
import type { Copies, LinkTarget } from "./policy.js";

const wire = ibrl.v1;
type CandidateMessage = ibrl.v1.DecisionCandidate.$Properties;

/** In base64 inside its JSON document it stays under Consul's 512 KiB for a KV value. */
const MAX_BYTES = 320 * 1024;
/** Room for the envelope, and for what fitRecord() does not count. */
const SPARE_BYTES = 4 * 1024;
const MAX_BRIEF = 5_000;
const BRIEF_BYTES = 10;
const ID_BYTES = 8;
const HASH_BYTES = 32;
const MAX_CANDIDATES = 1_000_000;
const MAX_SCORE = 1e13;
const COPIES_BY = ["node", "datacenter", "link"] as const;
const BROKEN = new Set(["fail", "unknown-fails"]);

export const DECISION: Purpose<DecisionRecord> = { domain: "ibrl/v1/decision", type: wire.PayloadType.DECISION, maxBytes: MAX_BYTES, encode, decode };

/**
 * The record, with its last candidates made brief where it would be too large: complete entries for as many as fit, in
 * order; then 10 bytes for each of the next 5,000; and one hash over the complete entries of all that are not complete.
 */
export function fitRecord(record: DecisionRecord, maxBytes = MAX_BYTES): DecisionRecord {
  const entries = record.candidates.map((candidate) => wire.DecisionCandidate.encode(writeCandidate(candidate, record.datacenter)).finish());
  const sizes = entries.map(({ length }) => length + 4); // its tag and its length
  const budget = maxBytes - SPARE_BYTES - encode({ ...record, candidates: [] }).length;
  if (sum(sizes) <= budget) return record;
  let [kept, used] = [0, 0];
  const restBytes = (count: number): number => HASH_BYTES + BRIEF_BYTES * Math.min(count, MAX_BRIEF);
  for (const size of sizes) {
    if (used + size + restBytes(sizes.length - kept) > budget) break;
    used += size;
    kept += 1;
  }
  const hash = createHash("sha256");
  for (const entry of entries.slice(kept)) hash.update(entry);
  const rules = record.policies.flatMap((policy) => policy.rules);
  const brief = record.candidates.slice(kept, kept + MAX_BRIEF).map(({ facts, status, verdicts }): BriefCandidate => {
    const broken = rules[verdicts.findIndex((verdict) => BROKEN.has(verdict))]?.name;
    return { beaconId: (facts.publicKey ?? "0".repeat(16)).slice(0, 16), status, ...(broken === undefined ? {} : { broken }) };
  });
  return { ...record, candidates: record.candidates.slice(0, kept), rest: { brief, hash: hash.digest("hex") } };
}

function encode(record: DecisionRecord): Uint8Array {
  const message: ibrl.v1.Decision.$Properties = {
    node: record.node,
    datacenter: record.datacenter,
    decided_at_ms: record.decidedAtMs,
    job: record.job ?? "",
    policies: record.policies.map(writePolicy),
    targets: record.needs.targets.map((target) => ("node" in target ? { node: target.node } : { service: target.service })),
    copies: record.needs.copies.map(({ by, nearerThanUs, jobs }) => ({ by, jobs: [...jobs], ...(nearerThanUs === undefined ? {} : { nearer_than_us: nearerThanUs }) })),
    disputed_links: record.needs.disputedLinks,
    candidates: record.candidates.map((candidate) => writeCandidate(candidate, record.datacenter)),
    ...record.counts,
  };
  if (record.move !== undefined) message.move = writeMove(record.move);
  if (record.rest !== undefined) {
    message.rest = writeBrief(record.rest.brief, record.policies.flatMap((policy) => policy.rules.map((rule) => rule.name)));
    message.rest_hash = Buffer.from(record.rest.hash, "hex");
  }
  return wire.Decision.encode(message).finish();
}

/** Throws RecordError, or protobufjs' errors on bytes that are no message. */
function decode(payload: Uint8Array): DecisionRecord {
  const m = wire.Decision.decode(payload);
  const datacenter = name("datacenter", m.datacenter);
  const policies = readPolicies(m.policies ?? []);
  const rules = policies.flatMap((policy) => policy.rules.map((rule) => rule.name));
  const terms = policies.reduce((count, policy) => count + policy.terms.length, 0);
  const needs: Needs = { targets: (m.targets ?? []).map(readTarget), copies: (m.copies ?? []).map(readCopies), disputedLinks: m.disputed_links ?? false };
  const record: DecisionRecord = {
    node: name("node", m.node),
    datacenter,
    decidedAtMs: integer("decided_at_ms", m.decided_at_ms, Number.MAX_SAFE_INTEGER),
    ...((m.job ?? "") === "" ? {} : { job: text("job", m.job) }),
    ...(m.move == null ? {} : { move: readMove(m.move) }),
    policies,
    needs,
    candidates: (m.candidates ?? []).map((candidate) => readCandidate(candidate, { datacenter, rules: rules.length, terms, needs })),
    counts: {
      eligible: integer("eligible", m.eligible, MAX_CANDIDATES), violating: integer("violating", m.violating, MAX_CANDIDATES),
      excluded: integer("excluded", m.excluded, MAX_CANDIDATES),
    },
  };
  const rest = m.rest_hash ?? new Uint8Array();
  if (rest.length > 0) record.rest = { brief: readBrief(m.rest ?? new Uint8Array(), rules), hash: hex("rest_hash", rest, HASH_BYTES) };
  const counted = record.counts.eligible + record.counts.violating + record.counts.excluded;
  if (record.rest === undefined ? counted !== record.candidates.length : counted <= record.candidates.length) {
    throw new RecordError("candidates", `${String(record.candidates.length)} stand beside counts of ${String(counted)}`);
  }
  return record;
}

function writeCandidate({ facts, status, scorePpm, verdicts, termScoresPpm, said }: RecordedCandidate, datacenter: string): CandidateMessage {
  const message: CandidateMessage = {
    node: facts.node,
    datacenter: facts.datacenter === datacenter ? "" : facts.datacenter,
    trust: TRUST_STATES.indexOf(facts.trust) + 1,
    latency_estimated: facts.latencyEstimated,
    links: facts.links.map(({ state, latencyUs, lossPpm }) => ({
      state: LINK_FACT_STATES.indexOf(state), ...(latencyUs === undefined ? {} : { latency_us: latencyUs }), ...(lossPpm === undefined ? {} : { loss_ppm: lossPpm }),
    })),
    copies: facts.copies.map((count) => (count === undefined ? 0 : count + 1)),
    status: STATUS_NAMES.indexOf(status),
    score_ppm: scorePpm,
    verdicts: Uint8Array.from(verdicts, (verdict) => VERDICTS.indexOf(verdict)),
    term_scores_ppm: [...termScoresPpm],
    said: [...said],
  };
  if (facts.publicKey !== undefined) message.public_key = Buffer.from(facts.publicKey, "hex");
  if (facts.beaconHash !== undefined) message.beacon_hash = Buffer.from(facts.beaconHash, "hex");
  if (facts.stateHash !== undefined) message.state_hash = Buffer.from(facts.stateHash, "hex");
  if (facts.alive !== undefined) message.alive = facts.alive;
  for (const [field, key] of NUMBERS) {
    const value = facts[key];
    if (value !== undefined) message[field] = value;
  }
  if (facts.capabilities !== undefined) {
    const { bits, others } = toBits(facts.capabilities);
    message.capability_bits = bits;
    message.capability_names = others;
  }
  return message;
}

/** Wire field and fact of each number that may be unknown. */
const NUMBERS = [
  ["latency_us", "latencyUs"], ["jitter_us", "jitterUs"], ["loss_ppm", "lossPpm"], ["queue_depth", "queueDepth"],
  ["price_microusd_per_gb", "priceMicroUsdPerGb"], ["reputation_ppm", "reputationPpm"], ["declared_reputation_ppm", "declaredReputationPpm"],
  ["workloads", "workloads"], ["disputed_links", "disputedLinks"],
] as const;

function readCandidate(m: CandidateMessage, expected: { datacenter: string; rules: number; terms: number; needs: Needs }): RecordedCandidate {
  const numbers = Object.fromEntries(NUMBERS.map(([field, key]) => [key, optional(`candidates.${field}`, m[field], Number.MAX_SAFE_INTEGER)])) as Pick<RecordedFacts, (typeof NUMBERS)[number][1]>;
  const bits = optional("candidates.capability_bits", m.capability_bits, MAX_U32);
  const [links, copies] = [m.links ?? [], m.copies ?? []];
  const [verdicts, termScores] = [m.verdicts ?? new Uint8Array(), m.term_scores_ppm ?? []];
  sameLength("links", links.length, expected.needs.targets.length);
  sameLength("copies", copies.length, expected.needs.copies.length);
  sameLength("verdicts", verdicts.length, expected.rules);
  sameLength("term_scores_ppm", termScores.length, expected.terms);
  return {
    facts: {
      node: name("candidates.node", m.node),
      datacenter: (m.datacenter ?? "") === "" ? expected.datacenter : name("candidates.datacenter", m.datacenter),
      trust: oneOf("candidates.trust", TRUST_STATES, (m.trust ?? 0) - 1),
      alive: m.alive ?? undefined,
      publicKey: optionalHex("candidates.public_key", m.public_key),
      beaconHash: optionalHex("candidates.beacon_hash", m.beacon_hash),
      stateHash: optionalHex("candidates.state_hash", m.state_hash),
      latencyEstimated: m.latency_estimated ?? false,
      ...numbers,
      capabilities: bits === undefined ? undefined : fromBits(bits, m.capability_names ?? []),
      links: links.map(readLink),
      copies: copies.map((count) => (count === 0 ? undefined : integer("candidates.copies", count, MAX_U32) - 1)),
    },
    status: oneOf("candidates.status", STATUS_NAMES, m.status ?? 0),
    scorePpm: integer("candidates.score_ppm", m.score_ppm, MAX_SCORE),
    verdicts: [...verdicts].map((code) => oneOf("candidates.verdicts", VERDICTS, code)),
    termScoresPpm: termScores.map((score) => integer("candidates.term_scores_ppm", score, 1_000_000)),
    said: (m.said ?? []).map((line) => text("candidates.said", line)),
  };
}

function readLink(m: ibrl.v1.DecisionLink.$Properties): LinkFact {
  return {
    state: oneOf("candidates.links.state", LINK_FACT_STATES, m.state ?? 0),
    latencyUs: optional("candidates.links.latency_us", m.latency_us, Number.MAX_SAFE_INTEGER),
    lossPpm: optional("candidates.links.loss_ppm", m.loss_ppm, MAX_U32),
  };
}

function readTarget({ node, service }: ibrl.v1.DecisionTarget.$Properties): LinkTarget {
  return (node ?? "") === "" ? { service: text("targets.service", service) } : { node: text("targets.node", node) };
}

function readCopies({ by, nearer_than_us, jobs }: ibrl.v1.DecisionCopies.$Properties): Copies {
  const nearerThanUs = optional("copies.nearer_than_us", nearer_than_us, Number.MAX_SAFE_INTEGER);
  return {
    by: oneOf("copies.by", COPIES_BY, COPIES_BY.indexOf((by ?? "") as "node")),
    jobs: (jobs ?? []).map((job) => text("copies.jobs", job)),
    ...(nearerThanUs === undefined ? {} : { nearerThanUs }),
  };
}

function writeMove({ from, cause, broken, brokenForMs }: MoveReason): ibrl.v1.DecisionMove.$Properties {
  return { from, cause, broken: [...broken], ...(brokenForMs === undefined ? {} : { broken_for_ms: brokenForMs }) };
}

function readMove(m: ibrl.v1.DecisionMove.$Properties): MoveReason {
  const brokenForMs = optional("move.broken_for_ms", m.broken_for_ms, Number.MAX_SAFE_INTEGER);
  return {
    from: name("move.from", m.from),
    cause: text("move.cause", m.cause),
    broken: (m.broken ?? []).map((line) => text("move.broken", line)),
    ...(brokenForMs === undefined ? {} : { brokenForMs }),
  };
}

function writeBrief(brief: readonly BriefCandidate[], rules: readonly string[]): Uint8Array {
  return Buffer.concat(brief.map(({ beaconId, status, broken }) =>
    Buffer.concat([Buffer.from(beaconId, "hex"), Buffer.from([STATUS_NAMES.indexOf(status), broken === undefined ? 0 : rules.indexOf(broken) + 1])])));
}

function readBrief(bytes: Uint8Array, rules: readonly string[]): BriefCandidate[] {
  if (bytes.length % BRIEF_BYTES !== 0) throw new RecordError("rest", `${String(bytes.length)} bytes are no whole entries of ${String(BRIEF_BYTES)}`);
  return Array.from({ length: bytes.length / BRIEF_BYTES }, (_, i) => {
    const entry = Buffer.from(bytes.subarray(i * BRIEF_BYTES, (i + 1) * BRIEF_BYTES));
    const rule = entry[ID_BYTES + 1] ?? 0;
    return {
      beaconId: entry.toString("hex", 0, ID_BYTES),
      status: oneOf("rest", STATUS_NAMES, entry[ID_BYTES] ?? -1),
      ...(rule === 0 ? {} : { broken: oneOf("rest", rules, rule - 1) }),
    };
  });
}

function oneOf<T extends string>(field: string, all: readonly T[], index: number): T {
  const found = all[index];
  if (found === undefined) throw new RecordError(field, `${String(index)} stands for nothing`);
  return found;
}

function sameLength(field: string, found: number, expected: number): void {
  if (found !== expected) throw new RecordError(`candidates.${field}`, `${String(found)} instead of ${String(expected)}`);
}

function optionalHex(field: string, bytes: Uint8Array | null | undefined): string | undefined {
  return (bytes?.length ?? 0) === 0 ? undefined : hex(field, bytes ?? new Uint8Array(), HASH_BYTES);
}

function hex(field: string, bytes: Uint8Array, length: number): string {
  if (bytes.length !== length) throw new RecordError(field, `${String(bytes.length)} bytes instead of ${String(length)}`);
  return Buffer.from(bytes).toString("hex");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
