/** No node may be chosen: nothing is placed, and each node says why. What the ancestor answered by asking everyone. */
import type { Decision } from "./decide.js";
import type { RuleResult } from "./evaluator.js";
import { failureText } from "./wording.js";

export interface TurnedAway {
  node: string;
  /** The broken rules of all policies; by whose policy. */
  failures: { policy: string; result: RuleResult }[];
}

export class NoMatchError extends Error {
  override readonly name = "NoMatchError";
  readonly code = "no-match";
  constructor(
    readonly turnedAway: readonly TurnedAway[],
    policies: readonly string[],
  ) {
    super(
      `no node satisfies ${policies.length === 0 ? "any policy" : `policy ${policies.join(" and ")}`}; nothing is placed` +
        (turnedAway.length === 0 ? ": the cluster has no nodes" : turnedAway.map(({ node, failures }) => `\n${node}: ${failures.map(({ result }) => failureText(result)).join("; ")}`).join("")),
    );
  }
}

/** The decision, where somebody may be chosen. Throws NoMatchError. */
export function requireMatch(decision: Decision): Decision {
  if (decision.best(1).length > 0) return decision;
  throw new NoMatchError(turnedAway(decision), decision.applied.map(({ evaluator }) => evaluator.identity.name));
}

/** The excluded nodes in the order of their keys. */
export function turnedAway(decision: Decision): TurnedAway[] {
  return decision.all().filter(({ status }) => status === "excluded").map(({ candidate: { node } }) => ({
    node,
    failures: (decision.reasonsFor(node) ?? []).flatMap(({ reasons }, i) =>
      reasons.rules.filter(isBroken).map((result) => ({ policy: decision.applied[i]?.evaluator.identity.name ?? "", result })),
    ),
  }));
}

export function isBroken({ verdict }: RuleResult): boolean {
  return verdict === "fail" || verdict === "unknown-fails";
}
