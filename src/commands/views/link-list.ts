/**
 * `cluster links` by default: a line for each pair of nodes. The values are the worse of the two ends' words
 * (beacon/links.ts); the arrows are loss from the first node to the second, and from the second to the first.
 */
import type { LinkView } from "../../beacon/links.js";
import { type ColumnPlan, droppedNote, layOut, type TableOptions } from "./columns.js";
import { linkLatency, NO_LINKS, STATE_COLOR } from "./link-wording.js";
import { printable } from "./printable.js";
import { age, milliseconds, percent } from "./wording.js";

const HEADINGS = {
  node: "NODE",
  peer: "PEER",
  p50: "P50",
  p95: "P95",
  jitter: "JITTER",
  loss: "LOSS",
  to: "LOSS →",
  from: "LOSS ←",
  probedBy: "PROBED BY",
  state: "STATE",
  age: "AGE",
} as const;
type Column = keyof typeof HEADINGS;
type Row = Record<Column, string>;

/** The first is the first to go. */
export const LINK_DROP_ORDER = ["age", "p95", "jitter", "probedBy", "from", "to", "loss"] as const;
const PLAN: ColumnPlan<Column> = {
  headings: HEADINGS,
  left: new Set(["node", "peer", "probedBy", "state"]),
  dropOrder: LINK_DROP_ORDER,
  shrink: ["node", "peer", "state"],
};

/** Without the last line's newline. */
export function linkList(links: readonly LinkView[], options: TableOptions): string {
  if (links.length === 0) return NO_LINKS;
  const rows = links.map(rowOf);
  const { lines, dropped } = layOut(PLAN, rows, options, (column, cell, row) => {
    const code = column === "state" ? STATE_COLOR[links[row]?.state ?? "unknown"] : undefined;
    return code === undefined ? cell : `\u001b[${String(code)}m${cell}\u001b[39m`;
  });
  return [
    ...lines,
    ...(links.some(({ state }) => state === "estimated") ? ["~ estimated from Consul's coordinates: nobody probes this link"] : []),
    ...(rows.some((row) => Object.values(row).includes("-")) ? ["- unmeasured"] : []),
    ...droppedNote(dropped),
  ].join("\n");
}

function rowOf(link: LinkView): Row {
  const latency = linkLatency(link);
  return {
    node: printable(link.a.name),
    peer: printable(link.b.name),
    p50: latency === undefined ? "unmeasured" : `${latency.source === "estimated" ? "~" : ""}${milliseconds(latency.ms)}`,
    p95: shown(link.rtt?.p95Us, (us) => milliseconds(us / 1_000)),
    jitter: shown(link.jitterUs, (us) => milliseconds(us / 1_000)),
    loss: shown(link.lossRatio, percent),
    to: shown(link.aToBLossRatio, percent),
    from: shown(link.bToALossRatio, percent),
    probedBy: probedBy(link),
    state: link.reason === undefined ? link.state : `${link.state}: ${link.reason}`,
    age: shown(link.ageMs, age),
  };
}

function probedBy({ probedBy: by, a, b }: LinkView): string {
  if (by === undefined) return "nobody";
  return by === "both" ? "both" : `${printable(by === "a" ? a.name : b.name)} only`;
}

function shown(value: number | undefined, write: (value: number) => string): string {
  return value === undefined ? "-" : write(value);
}
