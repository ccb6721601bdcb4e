/** A policy file as an Evaluator: rules column by column, then scores; reasons only for whom they are asked. */
import { applyRules, known, worseOf } from "./apply-rules.js";
import { UNKNOWN } from "./candidate-table.js";
import type { Batch, Evaluation, Evaluator, PolicyIdentity, Reasons } from "./evaluator.js";
import type { Policy } from "./policy.js";
import type { PolicyFile } from "./policy-file.js";
import { recordableName } from "./recordable.js";
import { type Rule, rulesOf } from "./rules.js";
import { scoresOf, type Term, termScore, termsOf, tieBreaksOf } from "./scoring.js";

export class JsonEvaluator implements Evaluator {
  readonly identity: PolicyIdentity;
  readonly policy: Policy;
  readonly #rules: readonly Rule[];

  constructor(readonly file: PolicyFile) {
    this.policy = file.policy;
    this.identity = { name: recordableName(file.policy.name), mode: file.policy.mode, hash: file.hash };
    this.#rules = rulesOf(file.policy);
  }

  evaluate({ table, job, prior, scales }: Batch): Evaluation {
    const { policy } = this;
    const { statuses, violations, resultsFor } = applyRules(this.#rules, policy.mode, table, job);
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
        rules: resultsFor(index),
        terms: madeTerms().map(({ statement, values }) => {
          const value = known(values[index] ?? UNKNOWN);
          return { term: statement, value, score: termScore(value, statement) };
        }),
      }),
    };
  }
}
