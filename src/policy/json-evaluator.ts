/** A policy file as an Evaluator: rules column by column, then scores; reasons only for whom they are asked. */
import type { Candidate } from "./candidate.js";
import { type Column, UNKNOWN } from "./candidate-table.js";
import { type Batch, type Evaluation, type Evaluator, type PolicyIdentity, type Reasons, type RuleResult, STATUS, type Verdict } from "./evaluator.js";
import type { Policy } from "./policy.js";
import type { PolicyFile } from "./policy-file.js";
import { type Rule, rulesOf } from "./rules.js";
import { scoresOf, type Term, termScore, termsOf, tieBreaksOf } from "./scoring.js";

export class JsonEvaluator implements Evaluator {
  readonly identity: PolicyIdentity;
  readonly policy: Policy;
  readonly #rules: readonly Rule[];

  constructor(readonly file: PolicyFile) {
    this.policy = file.policy;
    this.identity = { name: file.policy.name, mode: file.policy.mode, hash: file.hash };
    this.#rules = rulesOf(file.policy);
  }

  evaluate({ table, job, prior, scales }: Batch): Evaluation {
    const { policy } = this;
    const applied = this.#rules.map((rule) => ({ rule, values: rule.column(table, job) }));
    const statuses = new Uint8Array(table.size);
    const violations = new Map<string, number>();
    for (const { rule, values } of applied) {
      const broken = rule.hard === true || policy.mode === "enforce" ? STATUS.excluded : STATUS.violating;
      violations.set(rule.statement.name, apply(rule, values, statuses, broken));
    }
    let terms: Term[] | undefined;
    let scores: Float64Array | undefined;
    const madeTerms = (): Term[] => (terms ??= termsOf(policy, { table, job, prior: worseOf(prior, statuses), ...(scales === undefined ? {} : { scales }) }));
    return {
      statuses,
      violations,
      decimals: policy.scoring.decimals,
      tieBreaks: tieBreaksOf(policy, table, job),
      scoresPpm: () => (scores ??= scoresOf(policy, madeTerms(), table)),
      reasonsFor: (index): Reasons => ({
        rules: applied.map(({ rule, values }) => resultOf(rule, values[index] ?? UNKNOWN, table.candidates[index] as Candidate)),
        terms: madeTerms().map(({ statement, values }) => {
          const value = known(values[index] ?? UNKNOWN);
          return { term: statement, value, score: termScore(value, statement) };
        }),
      }),
    };
  }
}

/** By candidate the worse of two statuses: both policies hold. */
export function worseOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  const worse = new Uint8Array(a.length);
  for (let i = 0; i < a.length; i++) worse[i] = Math.max(a[i] as number, b[i] as number);
  return worse;
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

function resultOf({ statement, note }: Rule, column: number, candidate: Candidate): RuleResult {
  const value = known(column);
  const verdict: Verdict =
    value === undefined ? (statement.unknown === "reject" ? "unknown-fails" : "unknown-passes")
    : (statement.sense === "max" ? value <= statement.limit : value >= statement.limit) ? "pass"
    : "fail";
  const said = verdict === "fail" ? note?.(candidate) : undefined;
  return { rule: statement, value, verdict, ...(said === undefined ? {} : { note: said }) };
}

function known(column: number): number | undefined {
  return column === UNKNOWN ? undefined : column;
}
