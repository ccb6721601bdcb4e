/**
 * Of each node, the one that is better by a policy's `rebalance`, and for how long without a break: it scores higher by at least
 * `min_gain`, and costs less by `min_saving_usd` where that is set. Once a better one is found it stays the one as long as it is
 * better, whoever else is better still. What is not known is no reason to move. Not whether something moves (trouble.ts).
 */
import { isBelieved } from "../../beacon/node-view.js";
import type { Candidate } from "../../policy/candidate.js";
import type { Decision } from "../../policy/decide.js";
import { STATUS } from "../../policy/evaluator.js";
import type { Rebalance } from "../../policy/policy.js";

export interface PolicyGain {
  to: string;
  /** Of the scores, 0 to 1. */
  gain: number;
  /** For the policy's expected traffic; absent where it states no saving. */
  savingUsd?: number;
  heldForMs: number;
  rebalance: Rebalance;
}

type Better = Pick<PolicyGain, "gain" | "savingUsd">;

/** By one set of policies, of which the one that scores decides. */
export class PolicyGains {
  readonly #held = new Map<string, PolicyGain & { sinceMs: number }>();
  #lookedAtMs = -Infinity;

  /** Longer than `maxGapMs` after the last look nobody knows what was in between, and it begins anew. */
  look(decision: Decision, { monoMs, maxGapMs }: { monoMs: number; maxGapMs: number }): void {
    if (monoMs - this.#lookedAtMs > maxGapMs) this.#held.clear();
    this.#lookedAtMs = monoMs;
    const rebalance = decision.applied.at(-1)?.evaluator.policy?.rebalance;
    if (rebalance === undefined) return;
    const { candidates } = decision.table;
    const indexOf = new Map(candidates.map(({ node }, index) => [node, index]));
    const [first] = decision.ranking.best(1);
    for (const [from, { node }] of candidates.entries()) {
      const held = this.#held.get(node);
      const still = held === undefined ? undefined : indexOf.get(held.to);
      const kept = still === undefined ? undefined : better(decision, rebalance, from, still);
      const to = kept === undefined ? first : still;
      const found = kept ?? (first === undefined ? undefined : better(decision, rebalance, from, first));
      if (found === undefined || to === undefined) this.#held.delete(node);
      else {
        const sinceMs = kept === undefined ? monoMs : (held?.sinceMs ?? monoMs);
        this.#held.set(node, { ...found, to: (candidates[to] as Candidate).node, sinceMs, heldForMs: monoMs - sinceMs, rebalance });
      }
    }
  }

  /** Undefined: nobody has been better for `hold_s`. */
  of(node: string): PolicyGain | undefined {
    const held = this.#held.get(node);
    return held === undefined || held.heldForMs < held.rebalance.holdMs ? undefined : held;
  }
}

function better({ table, ranking, applied }: Decision, { minGainPpm, minSaving }: Rebalance, from: number, to: number): Better | undefined {
  const [a, b] = [table.candidates[from] as Candidate, table.candidates[to] as Candidate];
  const statuses = [ranking.statuses[from] as number, ranking.statuses[to] as number] as const;
  if (from === to || statuses[0] === STATUS.excluded || statuses[1] > statuses[0]) return undefined;
  const gainPpm = ranking.scorePpm(to) - ranking.scorePpm(from);
  if (gainPpm <= 0 || gainPpm < minGainPpm || ![a, b].every(isHeard)) return undefined;
  if ([from, to].some((index) => applied.at(-1)?.evaluation.reasonsFor(index).terms.some(({ value }) => value === undefined))) return undefined;
  if (minSaving === undefined) return { gain: gainPpm / 1_000_000 };
  if (a.priceMicroUsdPerGb === undefined || b.priceMicroUsdPerGb === undefined) return undefined;
  const savingMicroUsd = (a.priceMicroUsdPerGb - b.priceMicroUsdPerGb) * minSaving.expectedGb;
  return savingMicroUsd < minSaving.microUsd ? undefined : { gain: gainPpm / 1_000_000, savingUsd: savingMicroUsd / 1_000_000 };
}

function isHeard({ trust, publicKey, alive }: Candidate): boolean {
  return isBelieved(trust) && publicKey !== undefined && alive === true;
}
