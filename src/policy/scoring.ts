/**
 * The score of a policy: each term maps its values to 0..1 between a best and a worst one, and the weighted terms are
 * added up (the ancestor) or averaged (version 2). Plain IEEE arithmetic in a fixed order and one rounding at the end, so
 * that the same facts give the same score on every machine.
 */
import type { CandidateTable, Column } from "./candidate-table.js";
import { type Batch, STATUS, type TermStatement, type TieBreak, type Unit } from "./evaluator.js";
import type { Policy, Preference, Range, Subject, TermName } from "./policy.js";
import { TERMS } from "./policy.js";
import { copiesColumn, fact, linkColumn, reputationColumn, type Rule } from "./rules.js";

export const PPM = 1_000_000;
/** Neither good nor bad: what an unknown value scores where the policy calls it neutral. */
const NEUTRAL = 0.5;

export interface Term {
  statement: TermStatement;
  values: Column;
}

interface TermKind {
  subject: Subject;
  unit: Unit;
  higherIsBetter?: true;
  column: (policy: Policy) => Rule["column"] | undefined;
}

const KINDS: Record<TermName, TermKind> = {
  latency: { subject: "latency", unit: "us", column: () => fact("latency") },
  price: { subject: "price", unit: "microusd-per-gb", column: () => fact("price") },
  reputation: { subject: "reputation", unit: "score", higherIsBetter: true, column: reputationColumn },
  queue: { subject: "queue_depth", unit: "count", column: () => fact("queue") },
  jitter: { subject: "jitter", unit: "us", column: () => fact("jitter") },
  loss: { subject: "packet_loss", unit: "ppm", column: () => fact("loss") },
  link: { subject: "link", unit: "us", column: farthestLink },
  spread: { subject: "workloads", unit: "count", column: ({ spread }) => (spread === undefined ? undefined : copiesColumn(spread)) },
};

const PREFERRED: Record<Preference, TermName> = {
  low_latency: "latency", low_price: "price", high_reputation: "reputation", low_jitter: "jitter", low_loss: "loss",
  short_queue: "queue", near_link: "link", few_copies: "spread",
};

/** `prior` says who is still in question: scales are made over the eligible, or where there are none over the violators. */
export function termsOf(policy: Policy, { table, job, prior: statuses, scales }: Batch): Term[] {
  const counted = statuses.includes(STATUS.eligible) ? STATUS.eligible : STATUS.violating;
  return TERMS.flatMap((name) => {
    const weight = policy.scoring.weights[name];
    const kind = KINDS[name];
    const values = kind.column(policy)?.(table, job);
    if (weight === 0 || values === undefined) return [];
    const range = policy.scoring.ranges[name] ?? scales?.get(name) ?? rangeOver(values, statuses, counted, kind.higherIsBetter === true);
    return [{ values, statement: { name, unit: kind.unit, weight, unknown: policy.unknown[kind.subject], ...range } }];
  });
}

/** Whole millionths, by candidate. */
export function scoresOf(policy: Policy, terms: readonly Term[], table: CandidateTable): Float64Array {
  const { mean, withoutBeaconPpm } = policy.scoring;
  const total = mean ? terms.reduce((sum, { statement }) => sum + statement.weight, 0) : 1;
  const scores = new Float64Array(table.size);
  for (const term of terms) addTerm(scores, term);
  for (let i = 0; i < scores.length; i++) scores[i] = Math.round(((scores[i] as number) / total) * PPM);
  if (withoutBeaconPpm !== undefined) {
    table.candidates.forEach((candidate, i) => {
      if (candidate.beaconHash === undefined) scores[i] = withoutBeaconPpm;
    });
  }
  return scores;
}

/** 0 to 1. */
export function termScore(value: number | undefined, { best, worst, unknown }: TermStatement): number {
  if (value === undefined || best === undefined || worst === undefined) return unknown === "neutral" ? NEUTRAL : 0;
  if (best === worst) return 1; // all are alike
  return Math.min(1, Math.max(0, (worst - value) / (worst - best)));
}

export function tieBreaksOf(policy: Policy, table: CandidateTable, job: string | undefined): TieBreak[] {
  return policy.scoring.prefer.flatMap((preference) => {
    const kind = KINDS[PREFERRED[preference]];
    const values = kind.column(policy)?.(table, job);
    return values === undefined ? [] : [{ name: preference, values, sense: kind.higherIsBetter === true ? ("max" as const) : ("min" as const) }];
  });
}

function addTerm(scores: Float64Array, { values, statement }: Term): void {
  const { weight, best, worst } = statement;
  const unknown = termScore(undefined, statement);
  const alike = best === worst; // nobody's value is known, or all are alike
  const [top, span] = [worst ?? 0, (worst ?? 0) - (best ?? 0)];
  const known = best === undefined ? unknown : 1;
  for (let i = 0; i < scores.length; i++) {
    const value = values[i] as number;
    const score = value < 0 ? unknown : alike ? known : (top - value) / span;
    scores[i] = (scores[i] as number) + weight * (score < 0 ? 0 : score > 1 ? 1 : score);
  }
}

function rangeOver(values: Column, statuses: Uint8Array, counted: number, higherIsBetter: boolean): Range | undefined {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (statuses[i] !== counted || value < 0) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return undefined;
  return higherIsBetter ? { best: high, worst: low } : { best: low, worst: high };
}

/** The farthest of the link rules' targets: near to one and far from another is far. Unknown where one is. */
function farthestLink(policy: Policy): Rule["column"] | undefined {
  if (policy.links.length === 0) return undefined;
  return (table, job) => {
    const columns = policy.links.map((link) => linkColumn(policy, link, "latencyUs")(table, job));
    const farthest = new Float64Array(table.size);
    for (let i = 0; i < farthest.length; i++) {
      const distances = columns.map((column) => column[i] as number);
      farthest[i] = distances.includes(-1) ? -1 : Math.max(...distances);
    }
    return farthest;
  };
}
