/** Reputations and NodeViews: which records a reader's scores rest on, and the scores in its views. Pure. */
import type { Verified } from "./envelope.js";
import { isBelieved, type NodeView } from "./node-view.js";
import type { NodeState } from "./record.js";
import type { Reputations } from "./reputation.js";

/** The states of the nodes that this reader believes: the whole input of its scores. */
export function believedStates(views: readonly NodeView[]): Verified<NodeState>[] {
  return views.flatMap(({ trust, state }) => (isBelieved(trust) && state !== undefined ? [state] : []));
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
