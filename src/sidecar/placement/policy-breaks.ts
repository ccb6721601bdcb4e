/**
 * Which nodes break which policies, and for how long without a break in between. Only what is known counts: a node of which
 * nothing verified is known at the moment, or of which the value is unknown, does not break a rule for what runs there already,
 * though it may not be chosen. Nor do rules about where further copies go. Not what follows from it (trouble.ts).
 */
import { isBelieved } from "../../beacon/node-view.js";
import type { Decision, Role } from "../../policy/decide.js";
import { type RuleResult, STATUS } from "../../policy/evaluator.js";
import { DEFAULT_GRACE_MS } from "../../policy/policy.js";
import { type RuleKind, kindOf } from "../../policy/rules.js";
import { failureText } from "../../policy/wording.js";

export interface PolicyBreak {
  /** In words, rule by rule. */
  broken: readonly string[];
  brokenForMs: number;
}

/** `alive` is failover's to judge, by Consul's word on the node; the others say where a further copy may go. */
const NOT_OF_WHAT_RUNS: ReadonlySet<RuleKind> = new Set<RuleKind>(["alive", "anti_affinity", "spread"]);
const TRUST_RULES: ReadonlySet<RuleKind> = new Set<RuleKind>(["verified_only", "not_rejected"]);

/** The breaks of one set of policies: one cluster policy and one spawn's. */
export class PolicyBreaks {
  /** By role and node, since when, and by which rules. */
  readonly #breaks = new Map<string, { sinceMs: number; graceMs: number; broken: readonly string[] }>();
  /** By node, when it was last one that may not be chosen. */
  readonly #unfitAtMs = new Map<string, number>();
  #lookedAtMs = -Infinity;
  #longestGraceMs = 0;

  /** Longer than `maxGapMs` after the last look nobody knows what was in between, and every grace begins anew. */
  look(decision: Decision, { monoMs, maxGapMs }: { monoMs: number; maxGapMs: number }): void {
    if (monoMs - this.#lookedAtMs > maxGapMs) this.#breaks.clear();
    this.#lookedAtMs = monoMs;
    this.#longestGraceMs = Math.max(...decision.applied.map(graceOf));
    const seen = new Set<string>();
    for (const [index, { node }] of decision.table.candidates.entries()) {
      if (decision.ranking.statuses[index] === STATUS.excluded) this.#unfitAtMs.set(node, monoMs);
      for (const { role, broken, graceMs } of brokenAt(decision, index)) {
        const key = `${role} ${node}`;
        seen.add(key);
        this.#breaks.set(key, { sinceMs: this.#breaks.get(key)?.sinceMs ?? monoMs, graceMs, broken });
      }
    }
    for (const key of this.#breaks.keys()) if (!seen.has(key)) this.#breaks.delete(key);
  }

  /** Undefined: the node keeps the policies, or has not broken one for longer than its grace. */
  of(node: string): PolicyBreak | undefined {
    for (const role of ["cluster", "spawn"] as const) {
      const found = this.#breaks.get(`${role} ${node}`);
      if (found === undefined) continue;
      const brokenForMs = this.#lookedAtMs - found.sinceMs;
      if (brokenForMs > found.graceMs) return { broken: found.broken, brokenForMs };
    }
    return undefined;
  }

  /** Whether it could have been chosen for as long as a grace: what comes and goes is no place to move to. */
  isSteady(node: string): boolean {
    return this.#lookedAtMs - (this.#unfitAtMs.get(node) ?? -Infinity) > this.#longestGraceMs;
  }
}

function graceOf({ evaluator }: Decision["applied"][number]): number {
  return evaluator.policy?.graceMs ?? DEFAULT_GRACE_MS;
}

function brokenAt(decision: Decision, index: number): { role: Role; graceMs: number; broken: string[] }[] {
  const { trust, publicKey, alive } = decision.table.candidates[index] as Decision["table"]["candidates"][number];
  const isKnown = isBelieved(trust) && publicKey !== undefined && alive === true; // a sidecar that is quiet moves nothing
  const isCaught = trust === "pin-conflict" || trust === "id-collision" || trust === "equivocation" || trust === "unlisted";
  if (!isKnown && !isCaught) return [];
  return decision.applied.flatMap((applied) => {
    const { role, evaluator, evaluation } = applied;
    if (evaluator.identity.mode !== "enforce" || evaluation.statuses[index] !== STATUS.excluded) return [];
    const broken = evaluation.reasonsFor(index).rules.filter((result) => counts(result, isKnown)).map(failureText);
    return broken.length === 0 ? [] : [{ role, graceMs: graceOf(applied), broken }];
  });
}

/** Of a node that was caught lying nothing else is known. */
function counts({ rule, verdict }: RuleResult, isKnown: boolean): boolean {
  const kind = kindOf(rule.name);
  return verdict === "fail" && !NOT_OF_WHAT_RUNS.has(kind) && (isKnown || TRUST_RULES.has(kind));
}
