/** `--sort`: best first, unknown last, ties by the whole public key (by name where there is none). */
import type { NodeView } from "../../beacon/node-view.js";
import { type Figures, figuresOf } from "../views/figures.js";

export const SORT_KEYS = ["name", "latency", "price", "reputation", "queue", "jitter", "loss"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

/** Lower is better in all of them. */
const RANK: Record<Exclude<SortKey, "name">, (figures: Figures) => number | undefined> = {
  latency: (f) => f.latencyMs,
  price: (f) => f.pricePerGb,
  reputation: (f) => (f.reputation === undefined ? undefined : -f.reputation),
  queue: (f) => f.queueDepth,
  jitter: (f) => f.jitterMs,
  loss: (f) => f.lossRatio,
};

/** node-2 before node-10, the same on every machine whatever its locale. */
const names = new Intl.Collator("en", { numeric: true });

/** A new array; the same order for the same nodes, however they came. */
export function sortNodes(nodes: readonly NodeView[], by: SortKey): NodeView[] {
  return nodes
    .map((view) => {
      const figures = figuresOf(view);
      return { view, key: figures.publicKey, rank: by === "name" ? undefined : RANK[by](figures) };
    })
    .sort((a, b) =>
      by === "name"
        ? byName(a.view, b.view)
        : knownFirst(a.rank, b.rank) || (a.rank ?? 0) - (b.rank ?? 0) || byKey(a.key, b.key) || byName(a.view, b.view),
    )
    .map(({ view }) => view);
}

function byName(a: NodeView, b: NodeView): number {
  return names.compare(a.name, b.name) || codeUnits(a.name, b.name) || codeUnits(a.id, b.id);
}

function byKey(a: string | undefined, b: string | undefined): number {
  return knownFirst(a, b) || codeUnits(a ?? "", b ?? "");
}

function knownFirst(a: unknown, b: unknown): number {
  return Number(a === undefined) - Number(b === undefined);
}

function codeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
