/** Reputations and NodeViews: which records a reader's scores rest on, and the scores in its views. Pure. */
import type { Verified } from "./envelope.js";
import { isBelieved, type NodeView } from "./node-view.js";
import type { NodeState } from "./record.js";
import { type Reputations, reputationsOf } from "./reputation.js";
import type { Rotation } from "./rotation.js";
import { lineageOf } from "./rotation-chain.js";

/** The whole input of a reader's scores. */
export interface BelievedRecords {
  states: readonly Verified<NodeState>[];
  rotations: readonly Rotation[];
}

/** What the nodes signed that this reader believes. */
export function believedRecords(views: readonly NodeView[]): BelievedRecords {
  const believed = views.filter(({ trust, state }) => isBelieved(trust) && state !== undefined);
  return {
    states: believed.flatMap(({ state }) => (state === undefined ? [] : [state])),
    rotations: believed.flatMap(({ rotations }) => rotations ?? []),
  };
}

/** A node that rotated its key keeps what was observed of it under the old one. */
export function reputationsFrom({ states, rotations }: BelievedRecords): Reputations {
  return reputationsOf(states, { identityOf: lineageOf(rotations) });
}

/** New views, each with its score or without one; a score from elsewhere does not stay. */
export function withReputations(views: readonly NodeView[], { nodes }: Reputations): NodeView[] {
  const byKey = new Map(nodes.map((node) => [node.key, node]));
  return views.map((shown) => {
    const { reputation: _elsewhere, ...view } = shown;
    const scored = isBelieved(view.trust) && view.state !== undefined ? byKey.get(view.state.key.hex) : undefined;
    if (scored?.scorePpm === undefined) return view;
    return { ...view, reputation: { score: scored.scorePpm / 1_000_000, observers: scored.observers } };
  });
}
