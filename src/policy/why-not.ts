/**
 * Why a node is not the first, and what would have to change. Nothing is estimated: each answer is found by evaluating the
 * same policies over the same candidates with one value changed, and is exact in the units of the records.
 */
import type { Candidate } from "./candidate.js";
import { CandidateTable } from "./candidate-table.js";
import { decideAmong, type Decision, type Policies, type Ranked, type Role } from "./decide.js";
import type { RuleResult, Unit } from "./evaluator.js";
import { type Fact, factsThatMayChange, ruleMet } from "./what-if.js";
import { isBroken } from "./no-match.js";

export interface Failure {
  role: Role;
  policy: string;
  result: RuleResult;
}

/** With every other value as it is and every broken rule just met. */
export interface Change {
  fact: string;
  unit: Unit;
  /** As it is now; undefined: unknown. */
  from: number | undefined;
  /** At this value the node would be first, and a unit before it not. */
  to: number;
  higherIsBetter: boolean;
  /** Whether it would also be first at any better value: files say so, a module may say anything. */
  orBetter: boolean;
}

export interface WhyNot {
  standing: Ranked;
  /** Who is first; undefined where nobody may be chosen. */
  first: Ranked | undefined;
  failures: Failure[];
  /** Its place once every broken rule is just met; undefined where some rule would still be broken. */
  placeIfMet: number | undefined;
  /** Each alone would be enough, beside what `failures` demand. */
  changes: Change[];
  /** What a module said of it beside its failures. */
  said: string[];
}

/** Undefined for a node that was no candidate. */
export async function whyNot(decision: Decision, node: string): Promise<WhyNot | undefined> {
  const standing = decision.all().find(({ candidate }) => candidate.node === node);
  const reasons = decision.reasonsFor(node);
  if (standing === undefined || reasons === undefined) return undefined;
  const [first] = decision.best(1);
  const failures = reasons.flatMap(({ role, reasons: of }) =>
    of.rules.filter(isBroken).map((result) => ({ role, policy: decision.applied.find((applied) => applied.role === role)?.evaluator.identity.name ?? "", result })),
  );
  const met = failures.reduce((candidate, { role, result }) => ruleMet(candidate, result.rule, decision, role), standing.candidate);
  const placeOf = (candidate: Candidate) => placeWith(decision, candidate);
  const placeIfMet = await placeOf(met);
  return {
    standing, first, failures, placeIfMet,
    changes: placeIfMet === undefined || first?.candidate.node === node ? [] : await changesToFirst(decision, met, standing.candidate, placeIfMet),
    said: reasons.flatMap(({ reasons: of }) => of.said ?? []).filter((line) => failures.every(({ result }) => result.note !== line)),
  };
}

async function changesToFirst(decision: Decision, met: Candidate, now: Candidate, placeIfMet: number): Promise<Change[]> {
  if (placeIfMet === 1) return [];
  const changes: Change[] = [];
  const orBetter = decision.applied.every(({ evaluator }) => evaluator.policy !== undefined);
  for (const fact of factsThatMayChange(decision)) {
    const to = await threshold(decision, met, fact);
    if (to !== undefined) changes.push({ fact: fact.name, unit: fact.unit, from: fact.get(now), to, higherIsBetter: fact.higherIsBetter, orBetter });
  }
  return changes;
}

/**
 * A border between values at which the node is first and at which it is not, found by halving. By a file a better value
 * never makes a node's place worse, so that it is the only one, and the nearest to today's value.
 */
async function threshold(decision: Decision, met: Candidate, fact: Fact): Promise<number | undefined> {
  const isFirst = async (value: number): Promise<boolean> => (await placeWith(decision, fact.set(met, value))) === 1;
  let good = fact.higherIsBetter ? fact.max : 0;
  if (!(await isFirst(good))) return undefined;
  let bad = fact.get(met) ?? (fact.higherIsBetter ? 0 : fact.max);
  if (await isFirst(bad)) return bad; // unknown today: any known value would do
  while (Math.abs(bad - good) > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (await isFirst(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** The place that the candidate would have in the stead of its own self; undefined where it would be excluded. */
async function placeWith(decision: Decision, changed: Candidate): Promise<number | undefined> {
  const candidates = decision.table.candidates.map((candidate) => (candidate.node === changed.node ? changed : candidate));
  const policies: Policies = Object.fromEntries(decision.applied.map(({ role, evaluator }) => [role, evaluator]));
  const again = await decideAmong(new CandidateTable(candidates, decision.table.needs), policies, decision.request, decision.nowMs);
  return again.placeOf(changed.node);
}
