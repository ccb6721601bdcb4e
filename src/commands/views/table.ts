/**
 * `cluster metrics --format table`: a row for each node. What does not fit the terminal is left out, one column
 * at a time in the order of DROP_ORDER, and said below the table; node, latency and trust always stay, with the
 * node name cut if need be. `-` is unknown, `~` an estimate.
 */
import { isRejected, type NodeView } from "../../beacon/node-view.js";
import { figuresOf } from "./figures.js";
import { printable } from "./printable.js";
import { displayWidth, padTo, truncate } from "./width.js";
import { age, dollars, milliseconds, percent, score } from "./wording.js";

export interface TableOptions {
  /** Of the terminal; Infinity in a pipe, where everything is shown. */
  columns: number;
  color: boolean;
}

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

const LEFT: ReadonlySet<Column> = new Set(["node", "capabilities", "trust"]);
const GAP = "  ";
const MIN_NAME = 8;

/** Without the last line's newline. */
export function table(nodes: readonly NodeView[], { columns, color }: TableOptions): string {
  const rows = nodes.map(rowOf);
  const widths = widthsOf(rows);
  const shown = (Object.keys(HEADINGS) as Column[]).slice();
  const dropped: Column[] = [];
  for (const column of DROP_ORDER) {
    if (totalWidth(shown, widths) <= columns) break;
    shown.splice(shown.indexOf(column), 1);
    dropped.push(column);
  }
  const over = Math.max(0, totalWidth(shown, widths) - columns);
  widths.node = Math.min(widths.node, Math.max(MIN_NAME, widths.node - over));

  const line = (row: Row, paint: (column: Column, cell: string) => string): string =>
    shown
      .map((column, i) => {
        const cell = truncate(row[column], widths[column]);
        if (!LEFT.has(column)) return paint(column, padTo(cell, widths[column], "right"));
        return paint(column, i === shown.length - 1 ? cell : padTo(cell, widths[column]));
      })
      .join(GAP);
  const plain = (_: Column, cell: string): string => cell;
  return [
    line(HEADINGS, color ? (_, cell) => `\u001b[1m${cell}\u001b[22m` : plain),
    ...rows.map((row, i) => {
      const view = nodes[i];
      return line(row, color && view !== undefined ? (column, cell) => (column === "trust" ? painted(view, cell) : cell) : plain);
    }),
    ...(nodes.some((view) => figuresOf(view).latencySource === "estimated") ? ["~ estimated from Consul's coordinates"] : []),
    ...(dropped.length > 0 ? [`too narrow for: ${dropped.join(", ")}`] : []),
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

function widthsOf(rows: readonly Row[]): Record<Column, number> {
  const widths = {} as Record<Column, number>;
  for (const column of Object.keys(HEADINGS) as Column[]) {
    widths[column] = Math.max(displayWidth(HEADINGS[column]), ...rows.map((row) => displayWidth(row[column])));
  }
  return widths;
}

function totalWidth(columns: readonly Column[], widths: Record<Column, number>): number {
  return columns.reduce((sum, column) => sum + widths[column], GAP.length * (columns.length - 1));
}

/** Green: believed. Red: its records failed verification. Yellow: neither. */
function painted(view: NodeView, cell: string): string {
  const believed = view.trust === "pinned" || view.trust === "first-use";
  const code = isRejected(view.trust) ? 31 : believed && view.alive !== false ? 32 : 33;
  return `\u001b[${String(code)}m${cell}\u001b[39m`;
}
