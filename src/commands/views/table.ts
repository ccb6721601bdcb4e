/**
 * `cluster metrics --format table`: a row for each node. What does not fit the terminal is left out, one column
 * at a time in the order of DROP_ORDER, and said below the table; node, latency and trust always stay, with the
 * node name cut if need be. `-` is unknown, `~` an estimate.
 */
import { isRejected, type NodeView } from "../../beacon/node-view.js";
import { type ColumnPlan, droppedNote, layOut, type TableOptions } from "./columns.js";
import { figuresOf } from "./figures.js";
import { printable } from "./printable.js";
import { age, dollars, milliseconds, percent, score } from "./wording.js";

/** The first is the first to go. */
export const DROP_ORDER = ["age", "workloads", "jitter", "queue", "capabilities", "loss", "reputation", "price"] as const;

const HEADINGS = {
  node: "NODE",
  latency: "LATENCY",
  jitter: "JITTER",
  loss: "LOSS",
  queue: "QUEUE",
  price: "PRICE/GB",
  reputation: "REPUTATION",
  capabilities: "CAPABILITIES",
  workloads: "WORKLOADS",
  trust: "TRUST",
  age: "AGE",
} as const;
type Column = keyof typeof HEADINGS;
type Row = Record<Column, string>;

const PLAN: ColumnPlan<Column> = { headings: HEADINGS, left: new Set(["node", "capabilities", "trust"]), dropOrder: DROP_ORDER, shrink: ["node"] };

/** Without the last line's newline. */
export function table(nodes: readonly NodeView[], options: TableOptions): string {
  const { lines, dropped } = layOut(PLAN, nodes.map(rowOf), options, (column, cell, row) => {
    const view = nodes[row];
    return column === "trust" && view !== undefined ? painted(view, cell) : cell;
  });
  return [
    ...lines,
    ...(nodes.some((view) => figuresOf(view).latencySource === "estimated") ? ["~ estimated from Consul's coordinates"] : []),
    ...droppedNote(dropped),
  ].join("\n");
}

function rowOf(view: NodeView): Row {
  const f = figuresOf(view);
  return {
    node: printable(view.name),
    latency: `${f.latencySource === "estimated" ? "~" : ""}${shown(f.latencyMs, milliseconds)}`,
    jitter: shown(f.jitterMs, milliseconds),
    loss: shown(f.lossRatio, percent),
    queue: shown(f.queueDepth, String),
    price: shown(f.pricePerGb, dollars),
    reputation: shown(f.reputation, score),
    capabilities: shown(f.capabilities, (names) => names.map(printable).join(" ")),
    workloads: shown(f.workloads, (list) => String(list.length)),
    trust: view.alive === false ? `${view.trust}, down` : view.trust,
    age: shown(f.ageMs, age),
  };
}

function shown<T>(value: T | undefined, write: (value: T) => string): string {
  return value === undefined ? "-" : write(value);
}

/** Green: believed. Red: its records failed verification. Yellow: neither. */
function painted(view: NodeView, cell: string): string {
  const believed = view.trust === "pinned" || view.trust === "first-use";
  const code = isRejected(view.trust) ? 31 : believed && view.alive !== false ? 32 : 33;
  return `\u001b[${String(code)}m${cell}\u001b[39m`;
}
