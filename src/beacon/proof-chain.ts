/**
 * The chain of an allocation's segments: what the next one is, and whether a row of them is one. Where the oldest were
 * pruned a chain begins later; the last segment says, signed, where.
 */
import type { Signed } from "./envelope.js";
import { addSpans, endOf, type ProofSegment, type ProofSpan, type ProofSubject } from "./proof-record.js";
import type { ProofTotals } from "./record.js";

/** What a segment says beyond its subject, before it has its place in a chain. */
export type NewSegment = Pick<ProofSegment, "epoch" | "issuedAtMs" | "beaconHash" | "spans" | "events" | "ended"> & { restarts: number };

/** The segment after `last`, or the first of a chain that starts at `startedMs`; after it, at most `keep` are kept. */
export function nextSegment(subject: ProofSubject, last: Signed<ProofSegment> | undefined, startedMs: number, next: NewSegment, keep: number): ProofSegment {
  const { restarts, ...own } = next;
  const fromMs = last === undefined ? startedMs : endOf(last.record);
  const index = (last?.record.index ?? -1) + 1;
  return {
    ...subject,
    ...own,
    index,
    ...(last === undefined ? {} : { previousHash: last.hash }),
    fromMs,
    totals: { ...addSpans(last?.record.totals ?? { watchedMs: 0, gapMs: 0 }, { ...next, fromMs }), restarts },
    keptFrom: Math.max(last?.record.keptFrom ?? 0, index + 1 - keep),
  };
}

export type ChainVerdict =
  | { ok: true; totals: ProofTotals; startedMs: number; endedMs: number; prunedSegments: number; gaps: { reason: string; ms: number }[] }
  /** `position` counts the given segments from 1: the first that breaks the chain. */
  | { ok: false; position: number; detail: string };

/** Nomad changes a running allocation's job in place where it can: the version then rises, and the hash with it. */
const SUBJECT = ["node", "datacenter", "allocation", "job", "namespace", "taskGroup"] as const;

/** Whether opened segments, oldest first, are one unbroken chain. Signatures and keys were checked when they were opened. */
export function checkChain(segments: readonly Signed<ProofSegment>[]): ChainVerdict {
  const [first, final] = [segments[0], segments.at(-1)];
  if (first === undefined || final === undefined) return { ok: false, position: 1, detail: "no segment" };
  const gaps = new Map<string, number>();
  let before: Signed<ProofSegment> | undefined;
  for (const [i, segment] of segments.entries()) {
    const wrong = before === undefined ? firstFault(segment.record) : faultAfter(before, segment);
    if (wrong !== undefined) return { ok: false, position: i + 1, detail: wrong };
    for (const [reason, ms] of gapsOf(segment.record)) gaps.set(reason, (gaps.get(reason) ?? 0) + ms);
    before = segment;
  }
  const { index } = first.record;
  if (index !== final.record.keptFrom) {
    return { ok: false, position: 1, detail: `begins with segment ${String(index)}; the node kept them from ${String(final.record.keptFrom)} on` };
  }
  return {
    ok: true,
    totals: final.record.totals,
    startedMs: first.record.fromMs,
    endedMs: endOf(final.record),
    prunedSegments: index,
    gaps: [...gaps].map(([reason, ms]) => ({ reason, ms })),
  };
}

function firstFault(record: ProofSegment): string | undefined {
  return record.index === 0 ? totalsFault({ watchedMs: 0, gapMs: 0, restarts: 0 }, record) : undefined;
}

function faultAfter(before: Signed<ProofSegment>, { record }: Signed<ProofSegment>): string | undefined {
  const last = before.record;
  if (record.index !== last.index + 1) return `segment ${String(record.index)} stands after ${String(last.index)}`;
  if (record.previousHash !== before.hash) return `names ${String(record.previousHash)} as the one before; that is ${before.hash}`;
  if (last.ended !== "") return "a segment follows the one that ended the allocation";
  if (record.fromMs !== endOf(last)) return `starts at ${String(record.fromMs)}; the one before ended at ${String(endOf(last))}`;
  if (record.epoch < last.epoch) return `epoch ${String(record.epoch)} is older than ${String(last.epoch)}`;
  if (record.keptFrom < last.keptFrom) return `what was pruned is kept again, from ${String(record.keptFrom)} on`;
  if (record.jobVersion < last.jobVersion) return `job version ${String(record.jobVersion)} is older than ${String(last.jobVersion)}`;
  if (record.jobVersion === last.jobVersion && record.jobHash !== last.jobHash) return "another job has the same version";
  const other = SUBJECT.find((field) => record[field] !== last[field]);
  if (other !== undefined) return `${other} is ${record[other]}; before it was ${last[other]}`;
  return totalsFault(last.totals, record);
}

function totalsFault(before: ProofTotals, record: ProofSegment): string | undefined {
  const sums = addSpans(before, record);
  if (record.totals.watchedMs !== sums.watchedMs) return "total watchedMs is not the sum of its spans";
  if (record.totals.gapMs !== sums.gapMs) return "total gapMs is not the sum of its spans";
  // An earlier version of the sidecar, which counted none, may have gone on with the chain: then the sums begin anew after it.
  const { traffic } = record.totals;
  if (traffic === undefined && record.spans.every((span) => span.traffic === undefined)) return fewerRestarts(before, record);
  const figure = (["bytesIn", "bytesOut", "meteredMs"] as const).find((name) => traffic?.[name] !== sums.traffic?.[name]);
  if (figure !== undefined) return `total ${figure} is not the sum of its spans`;
  return fewerRestarts(before, record);
}

function fewerRestarts(before: ProofTotals, { totals }: ProofSegment): string | undefined {
  return totals.restarts < before.restarts ? "fewer restarts than before" : undefined;
}

function gapsOf(segment: { fromMs: number; spans: readonly ProofSpan[] }): [string, number][] {
  return segment.spans.flatMap(({ gap, endMs }, i): [string, number][] =>
    gap === undefined ? [] : [[gap, endMs - (segment.spans[i - 1]?.endMs ?? segment.fromMs)]],
  );
}
