/**
 * Two ends of a link for tests: probes with a fate each, kept by a real ExchangeLog on either end, and the halves that
 * the ends sign of them.
 */
import { CHUNK_PROBES, ExchangeLog, type ExchangeRecord } from "../../src/beacon/link-statistics-exchange.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { NodeState, SignedLinkHalf } from "../../src/beacon/record.js";
import { fullView } from "./node-views.js";
import { identity, NOW_MS, verifiedState } from "./records.js";

/** `forward`: lost on the way to the reflector; `backward`: its answer was lost. */
export type Fate = "back" | "forward" | "backward";
export interface Exchange {
  sequence: number;
  sent: bigint;
  answered: bigint;
}

export const exchange = (sequence: number): Exchange => ({ sequence, sent: BigInt(sequence) * 1_000n + 7n, answered: BigInt(sequence) * 1_000n + 400n });

/** What honest ends see of the same probes: the sender the answers in time, the reflector what it answered. */
export function bothEnds(fates: readonly Fate[]): { sender: Exchange[]; reflector: Exchange[] } {
  const seen = (passes: (fate: Fate) => boolean): Exchange[] => fates.flatMap((fate, sequence) => (passes(fate) ? [exchange(sequence)] : []));
  return { sender: seen((fate) => fate === "back"), reflector: seen((fate) => fate !== "forward") };
}

export function recordOf(exchanges: readonly Exchange[], probes: number, session = 77): ExchangeRecord {
  const log = new ExchangeLog(session);
  log.startAtZero();
  for (const { sequence, sent, answered } of exchanges) log.add(sequence, sent, answered);
  log.closeBelow(probes);
  const record = log.record();
  if (record === undefined) throw new Error(`fewer than ${String(CHUNK_PROBES)} probes close no chunk`);
  return record;
}

export const keyOf = (seed: number): string => Buffer.from(identity(seed).publicKey).toString("hex");

/** A half about the peer with that key: 64 probes over the last minute, all answered at 10 ms, unless said otherwise. */
export function halfAbout(peerSeed: number, parts: Partial<SignedLinkHalf> = {}): SignedLinkHalf {
  const { received = parts.sent ?? 64 } = parts;
  return {
    peerKey: keyOf(peerSeed),
    peer: `node-${String(peerSeed)}`,
    startMs: NOW_MS - 61_000,
    endMs: NOW_MS - 1_000,
    sent: 64,
    received,
    duplicates: 0,
    reordered: 0,
    longestBurst: 0,
    ...(received === 0 ? {} : { rtt: { minUs: 9_000, p50Us: 10_000, p95Us: 12_000, p99Us: 15_000 }, jitterUs: 500, pdv: { p95Us: 3_000, p99Us: 6_000 } }),
    ...parts,
  };
}

/** What an end signs that only reflects. */
export const reflecting = (peerSeed: number, incoming?: ExchangeRecord, parts: Partial<SignedLinkHalf> = {}): SignedLinkHalf =>
  halfAbout(peerSeed, { sent: 0, received: 0, ...(incoming === undefined ? {} : { incoming }), ...parts });

/** A believed node whose state, sealed with its key and opened again, holds these halves. */
export function linkedView(seed: number, links: readonly SignedLinkHalf[], state: Partial<NodeState> = {}, view: Partial<NodeView> = {}): NodeView {
  const name = state.node ?? `node-${String(seed)}`;
  const issuedAtMs = state.issuedAtMs ?? NOW_MS;
  const signed = verifiedState({ node: name, issuedAtMs, ...(links.length === 0 ? {} : { links }), ...state }, identity(seed));
  return fullView({ name, key: seed, issuedAtMs, view: { state: signed, ...view } });
}

/** A coordinate on a line, so many milliseconds from the origin. */
export const coordinateAt = (ms: number): NonNullable<NodeState["coordinate"]> => ({ vectorNs: [ms * 1_000_000, 0], adjustmentNs: 0, heightNs: 0, errorRatio: 0.2 });
