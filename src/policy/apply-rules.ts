/** Rules applied to a table, column by column: statuses and counts for all, results for the candidate that somebody asks about. */
import type { Candidate } from "./candidate.js";
import { type CandidateTable, type Column, UNKNOWN } from "./candidate-table.js";
import { type RuleResult, STATUS, type Verdict } from "./evaluator.js";
import type { Mode } from "./policy.js";
import type { Rule } from "./rules.js";

export interface AppliedRules {
  statuses: Uint8Array;
  /** How many candidates broke each rule, by its name. */
  violations: Map<string, number>;
  resultsFor(index: number): RuleResult[];
}

export function applyRules(rules: readonly Rule[], mode: Mode, table: CandidateTable, job: string | undefined): AppliedRules {
  const applied = rules.map((rule) => ({ rule, values: rule.column(table, job) }));
  const statuses = new Uint8Array(table.size);
  const violations = new Map<string, number>();
  for (const { rule, values } of applied) {
    const broken = rule.hard === true || mode === "enforce" ? STATUS.excluded : STATUS.violating;
    violations.set(rule.statement.name, apply(rule, values, statuses, broken));
  }
  return {
    statuses,
    violations,
    resultsFor: (index) => applied.map(({ rule, values }) => resultOf(rule, values[index] ?? UNKNOWN, table.candidates[index] as Candidate, index)),
  };
}

/** By candidate the worse of two statuses: both policies hold. */
export function worseOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  const worse = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) worse[i] = Math.max(a[i] as number, b[i] as number);
  return worse;
}

export function known(column: number): number | undefined {
  return column === UNKNOWN ? undefined : column;
}

/** How many candidates broke the rule. */
function apply({ statement }: Rule, values: Column, statuses: Uint8Array, broken: number): number {
  const { sense, limit } = statement;
  const unknownBreaks = statement.unknown === "reject";
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const breaks = value < 0 ? unknownBreaks : sense === "max" ? value > limit : value < limit;
    if (!breaks) continue;
    count += 1;
    if ((statuses[i] as number) < broken) statuses[i] = broken;
  }
  return count;
}

function resultOf({ statement, note }: Rule, column: number, candidate: Candidate, index: number): RuleResult {
  const value = known(column);
  const verdict: Verdict =
    value === undefined ? (statement.unknown === "reject" ? "unknown-fails" : "unknown-passes")
    : (statement.sense === "max" ? value <= statement.limit : value >= statement.limit) ? "pass"
    : "fail";
  const said = verdict === "fail" ? note?.(candidate, index) : undefined;
  return { rule: statement, value, verdict, ...(said === undefined ? {} : { note: said }) };
}
