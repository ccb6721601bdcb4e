/**
 * `hypercore probe --json`: a line of JSON for each sample as it comes (`type` probe), and a last one (`type` summary).
 * schemas/probe.schema.json describes both. Milliseconds and ratios; unknown is null.
 */
import type { LossDirection } from "../../beacon/link-statistics-direction.js";
import type { LossBursts, ProbeSample } from "../../beacon/link-statistics.js";
import { type ProbedTarget, type ProbeFindings, type ProbeProblem, probeProblem, wasAnswered } from "./probe-problem.js";

const SCHEMA_VERSION = 1;

export interface ProbeDocument {
  schemaVersion: typeof SCHEMA_VERSION;
  type: "probe";
  sequence: number;
  sentAtMs: number;
  outcome: ProbeSample["outcome"];
  rttMs: number | null;
  reordered: boolean;
}

export interface SummaryDocument {
  schemaVersion: typeof SCHEMA_VERSION;
  type: "summary";
  target: ProbedTarget;
  startMs: number;
  endMs: number;
  answered: boolean;
  sent: number;
  received: number;
  lost: number;
  late: number;
  duplicates: number;
  reordered: number;
  discarded: number;
  leftOut: number;
  loss: { ratio: number; bursts: LossBursts; direction: LossDirection | null } | null;
  rtt: { minMs: number; p50Ms: number; p95Ms: number; p99Ms: number; maxMs: number } | null;
  jitter: { ms: number } | null;
  pdv: { p95Ms: number; p99Ms: number } | null;
  problem: ProbeProblem | null;
}

export function probeDocument(sample: ProbeSample): ProbeDocument {
  const { sequence, sentAtMs, outcome } = sample;
  return {
    schemaVersion: SCHEMA_VERSION,
    type: "probe",
    sequence, sentAtMs, outcome,
    rttMs: outcome === "received" ? ms(sample.rttUs) : null,
    reordered: "reordered" in sample && sample.reordered,
  };
}

export function summaryDocument(target: ProbedTarget, findings: ProbeFindings): SummaryDocument {
  const { summary, maxUs, leftOut } = findings;
  const { startMs, endMs, sent, received, lost, late, duplicates, reordered, discarded, lossRatio, bursts, direction, rtt, jitterUs, pdv } = summary;
  return {
    schemaVersion: SCHEMA_VERSION,
    type: "summary",
    target, startMs, endMs,
    answered: wasAnswered(findings),
    sent, received, lost, late, duplicates, reordered, discarded, leftOut,
    loss: lossRatio === undefined ? null : { ratio: lossRatio, bursts, direction: direction ?? null },
    rtt: rtt === undefined ? null : { minMs: ms(rtt.minUs), p50Ms: ms(rtt.p50Us), p95Ms: ms(rtt.p95Us), p99Ms: ms(rtt.p99Us), maxMs: ms(maxUs ?? rtt.p99Us) },
    jitter: jitterUs === undefined ? null : { ms: ms(jitterUs) },
    pdv: pdv === undefined ? null : { p95Ms: ms(pdv.p95Us), p99Ms: ms(pdv.p99Us) },
    problem: probeProblem(target, findings) ?? null,
  };
}

/** To the nanosecond, which is finer than any clock here. */
function ms(us: number): number {
  return Math.round(us * 1_000) / 1_000_000;
}
