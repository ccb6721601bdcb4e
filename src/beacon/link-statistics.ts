/**
 * What a series of probes says about a link. Pure. Round-trip times are microseconds with the
 * reflector's residence already subtracted, ratios 0..1, wall times Unix milliseconds. Absent means
 * unmeasured: a lost probe never enters a round-trip time, and with no answer there is none.
 *
 * Percentiles are nearest-rank (RFC 2330, 11.3): the smallest sample that at least the given share
 * of samples does not exceed. Delay variation is PDV of RFC 5481: a percentile of (RTT − smallest
 * RTT of the window). Loss bursts are runs of lost probes that follow each other by sequence.
 */
import {
  lossDirection, type DirectionAnchor, type DirectionEvidence, type LossDirection, type ReflectorMode,
} from "./link-statistics-direction.js";
import { stepJitter, type JitterState } from "./link-statistics-jitter.js";

interface ProbeHead {
  /** The sender's sequence number, from 0 in a session. */
  sequence: number;
  sentAtMs: number;
}

/** Counts once in `sent`. */
export interface ReceivedProbe extends ProbeHead {
  outcome: "received";
  rttUs: number;
  /** The number that the reflector gave its answer. */
  reflectorSequence: number;
  /** A later probe was answered before it (RFC 4737). */
  reordered: boolean;
}

/**
 * Answered, but the prober's own event loop stalled when it should have read the answer. Counts once
 * in `sent`, as an answer, and gives no round trip.
 */
export interface DiscardedProbe extends Omit<ReceivedProbe, "outcome" | "rttUs"> {
  outcome: "discarded";
}

/** No answer within the timeout. Counts once in `sent`. */
export interface LostProbe extends ProbeHead {
  outcome: "lost";
}

/**
 * Says something more of a probe that was counted already. `duplicate`: answered once more; `late`:
 * answered after its timeout, it stays lost.
 */
export interface ProbeNote extends ProbeHead {
  outcome: "duplicate" | "late";
  reordered: boolean;
  reflectorSequence: number;
}

export type ProbeSample = ReceivedProbe | DiscardedProbe | LostProbe | ProbeNote;

export interface LossBursts {
  count: number;
  longest: number;
  /** Absent without bursts. */
  meanLength?: number;
}

export interface RttSummary {
  minUs: number;
  p50Us: number;
  p95Us: number;
  p99Us: number;
}

export interface LinkSummary {
  startMs: number;
  endMs: number;
  /** Received and lost together. */
  sent: number;
  /** Answered in time. */
  received: number;
  lost: number;
  /** Of those received: without a round trip, because this end could not read it in time. */
  discarded: number;
  late: number;
  duplicates: number;
  reordered: number;
  /** Absent when nothing was sent; 1 when nothing came back. */
  lossRatio?: number;
  bursts: LossBursts;
  /** Absent where the reflector keeps no sequence of its own. */
  direction?: LossDirection;
  rtt?: RttSummary;
  /** RFC 3550 smoothed jitter at the end of the window; needs two answers. */
  jitterUs?: number;
  pdv?: { p95Us: number; p99Us: number };
}

/** What the window before leaves for this one, so that nothing falls between two windows. */
export interface WindowCarry {
  jitter?: JitterState;
  direction?: DirectionAnchor;
}

export interface WindowBounds {
  startMs: number;
  endMs: number;
  /** Whether the reflector counts its answers itself; `detect` believes so once the numbers differ. */
  reflector?: ReflectorMode;
}

/** The summary of all `samples`, given in order of arrival; the caller has cut them to the window. */
export function summarizeProbes(
  samples: readonly ProbeSample[],
  bounds: WindowBounds,
  carry: WindowCarry = {},
): LinkSummary {
  const counted = (outcome: ProbeSample["outcome"]): number =>
    samples.reduce((sum, sample) => sum + (sample.outcome === outcome ? 1 : 0), 0);
  const measured = samples.filter((sample): sample is ReceivedProbe => sample.outcome === "received");
  const [discarded, lost] = [counted("discarded"), counted("lost")];
  const received = measured.length + discarded;
  const sent = received + lost;
  const sorted = measured.map((probe) => probe.rttUs).sort((a, b) => a - b);
  const jitter = measured.reduce((state, probe) => stepJitter(state, probe.rttUs), carry.jitter);
  const direction = lossDirection(samples.flatMap(directionEvidence), bounds.reflector ?? "detect", carry.direction);

  const summary: LinkSummary = {
    startMs: bounds.startMs,
    endMs: bounds.endMs,
    sent,
    received,
    lost,
    discarded,
    late: counted("late"),
    duplicates: counted("duplicate"),
    reordered: samples.reduce((sum, sample) => sum + ("reordered" in sample && sample.reordered ? 1 : 0), 0),
    bursts: lossBursts(samples),
  };
  if (sent > 0) summary.lossRatio = lost / sent;
  if (direction !== undefined) summary.direction = direction;
  if (jitter?.jitterUs !== undefined && measured.length > 0) summary.jitterUs = jitter.jitterUs;
  const minUs = sorted[0];
  if (minUs !== undefined) {
    const [p50Us, p95Us, p99Us] = [percentile(sorted, 0.5), percentile(sorted, 0.95), percentile(sorted, 0.99)];
    summary.rtt = { minUs, p50Us, p95Us, p99Us };
    summary.pdv = { p95Us: p95Us - minUs, p99Us: p99Us - minUs };
  }
  return summary;
}

/** Nearest rank over ascending `sorted`, which must not be empty; `share` in 0..1. */
export function percentile(sorted: readonly number[], share: number): number {
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError("percentile of no samples");
  return value;
}

/** A duplicate says nothing new: its number is one that the reflector gave beyond the probes. */
function directionEvidence(sample: ProbeSample): DirectionEvidence[] {
  const { sequence } = sample;
  if (sample.outcome === "duplicate") return [];
  if (sample.outcome === "lost") return [{ sequence, lost: true }];
  return [{ sequence, lost: false, reflectorSequence: sample.reflectorSequence }];
}

function lossBursts(samples: readonly ProbeSample[]): LossBursts {
  const outcomes = samples
    .filter(({ outcome }) => outcome === "received" || outcome === "discarded" || outcome === "lost")
    .sort((a, b) => a.sequence - b.sequence);
  const lengths: number[] = [];
  let run = 0;
  for (const sample of outcomes) {
    if (sample.outcome === "lost") run += 1;
    else if (run > 0) {
      lengths.push(run);
      run = 0;
    }
  }
  if (run > 0) lengths.push(run);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const bursts: LossBursts = { count: lengths.length, longest: Math.max(0, ...lengths) };
  if (lengths.length > 0) bursts.meanLength = total / lengths.length;
  return bursts;
}
