/**
 * Joins what the two ends of a link say about it. Pure; signatures were checked before.
 *
 * `agreed` needs something that was really compared: at least one chunk of exchanges that both ends
 * hash to the same value. Halves with nothing to compare are `unconfirmed`, never agreed, so that
 * an end gains nothing by withholding. Round trips are compared only where both ends measured and
 * their windows overlap by half of the shorter one; both ways of a link are in either, so honest
 * ends differ only by the moment at which they looked.
 */
import { CHUNK_PROBES, type ExchangeRecord } from "./link-statistics-exchange.js";

export interface LinkHalf {
  startMs: number;
  endMs: number;
  /** This end's own measurement; absent where it does not probe or has no answer. */
  rttP50Us?: number;
  /** Exchanges in which this end was the sender, and those in which it reflected. */
  outgoing?: ExchangeRecord;
  incoming?: ExchangeRecord;
}

export type DisputeReason =
  /** The same packets, another hash: times were shifted or exchanges made up. */
  | "hash-mismatch"
  /** The sender counts an answer that the reflector says it never gave. */
  | "unanswered-claim"
  /** Further apart than max(1 ms, 20 % of the larger one). */
  | "rtt-apart";

/** Loss of one direction of probing, from the chunks that both ends cover. */
export interface JoinedLoss {
  sent: number;
  /** Lost on the way to the reflector. */
  forwardLost: number;
  /** Lost on the way back, or come back too late. */
  backwardLost: number;
  /** Probes in chunks whose hashes were compared and equal. */
  compared: number;
}

export interface JoinedLink {
  state: "agreed" | "disputed" | "unconfirmed";
  /** Only of a disputed link. */
  reason?: DisputeReason;
  /** From a's probes and from b's; absent where the two records share no chunk. */
  fromA?: JoinedLoss;
  fromB?: JoinedLoss;
}

const RTT_TOLERANCE_US = 1000;
const RTT_TOLERANCE_RATIO = 0.2;

export function joinHalves(a: LinkHalf, b: LinkHalf): JoinedLink {
  const fromA = compareExchanges(a.outgoing, b.incoming);
  const fromB = compareExchanges(b.outgoing, a.incoming);
  const link: JoinedLink = { state: "unconfirmed" };
  if (fromA?.loss !== undefined) link.fromA = fromA.loss;
  if (fromB?.loss !== undefined) link.fromB = fromB.loss;
  const reason = fromA?.dispute ?? fromB?.dispute ?? (rttsApart(a, b) ? "rtt-apart" : undefined);
  if (reason !== undefined) return { ...link, state: "disputed", reason };
  const compared = (link.fromA?.compared ?? 0) + (link.fromB?.compared ?? 0);
  return compared > 0 ? { ...link, state: "agreed" } : link;
}

interface Comparison {
  loss: JoinedLoss;
  dispute?: DisputeReason;
}

function compareExchanges(sender?: ExchangeRecord, reflector?: ExchangeRecord): Comparison | undefined {
  if (sender === undefined || reflector === undefined || sender.session !== reflector.session) return undefined;
  const first = Math.max(sender.firstChunk, reflector.firstChunk);
  const last = Math.min(sender.lastChunk, reflector.lastChunk);
  if (last < first) return undefined;
  const inRange = (record: ExchangeRecord): Map<number, ExchangeRecord["chunks"][number]> =>
    new Map(record.chunks.filter(({ index }) => index >= first && index <= last).map((chunk) => [chunk.index, chunk]));
  const [acknowledged, answered] = [inRange(sender), inRange(reflector)];

  const sent = (last - first + 1) * CHUNK_PROBES;
  const comparison: Comparison = { loss: { sent, forwardLost: sent, backwardLost: 0, compared: 0 } };
  const { loss } = comparison;
  for (const index of new Set([...acknowledged.keys(), ...answered.keys()])) {
    const back = acknowledged.get(index);
    const there = answered.get(index);
    const [backBits, thereBits] = [back?.bitmap ?? 0, there?.bitmap ?? 0];
    loss.forwardLost -= bitCount(thereBits);
    loss.backwardLost += bitCount(thereBits & ~backBits);
    if ((backBits & ~thereBits) !== 0) comparison.dispute ??= "unanswered-claim";
    else if (backBits === thereBits) {
      if (back?.hash === there?.hash) loss.compared += bitCount(backBits);
      else comparison.dispute = "hash-mismatch";
    }
  }
  return comparison;
}

function rttsApart(a: LinkHalf, b: LinkHalf): boolean {
  if (a.rttP50Us === undefined || b.rttP50Us === undefined) return false;
  const overlapMs = Math.min(a.endMs, b.endMs) - Math.max(a.startMs, b.startMs);
  const shorterMs = Math.min(a.endMs - a.startMs, b.endMs - b.startMs);
  if (overlapMs <= 0 || overlapMs < shorterMs / 2) return false;
  const larger = Math.max(a.rttP50Us, b.rttP50Us);
  return Math.abs(a.rttP50Us - b.rttP50Us) > Math.max(RTT_TOLERANCE_US, larger * RTT_TOLERANCE_RATIO);
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
