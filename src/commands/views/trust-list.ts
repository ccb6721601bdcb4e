/** `trust list` and `trust show`: how this reader stands to each node, and why. Unknown is null in JSON, never empty. */
import { isRejected, type NodeView } from "../../beacon/node-view.js";
import { type ColumnPlan, layOut, type TableOptions } from "./columns.js";
import { node as nodeJson, type NodeJson } from "./documents.js";
import { figuresOf } from "./figures.js";
import { printable } from "./printable.js";
import { TRUST_MEANING } from "./trust-meaning.js";

const HEADINGS = { node: "NODE", trust: "TRUST", beaconId: "BEACON ID", why: "WHY" } as const;
type Column = keyof typeof HEADINGS;
const PLAN: ColumnPlan<Column> = { headings: HEADINGS, left: new Set(["node", "trust", "beaconId", "why"]), dropOrder: [], shrink: ["why", "node"] };

/** Without the last line's newline. */
export function trustList(nodes: readonly NodeView[], options: TableOptions): string {
  const rows = nodes.map((view) => ({ node: printable(view.name), trust: view.trust, beaconId: figuresOf(view).beaconId ?? "-", why: printable(view.detail ?? "") }));
  const { lines } = layOut(PLAN, rows, options, (column, cell, row) => {
    const view = nodes[row];
    return column === "trust" && view !== undefined && isRejected(view.trust) ? `\u001b[31m${cell}\u001b[39m` : cell;
  });
  return lines.map((line) => line.trimEnd()).join("\n");
}

export interface TrustListDocument {
  schemaVersion: 1;
  nodes: NodeJson[];
}

export function trustListDocument(nodes: readonly NodeView[]): TrustListDocument {
  return { schemaVersion: 1, nodes: nodes.map((view) => nodeJson(view)) };
}

/** What stands in KV of the node, as far as it could be read. */
export interface TrustRecords {
  /** Hex; null: none. `problem` where it could not be read. */
  pin: { publicKey: string | null } | { problem: string };
  list: { serial: number; signedBy: string; publicKey: string | null } | { problem: string } | null;
}

export interface TrustShowDocument extends TrustRecords {
  schemaVersion: 1;
  node: NodeJson;
  means: string;
  todo: string;
}

export function trustShowDocument(view: NodeView, records: TrustRecords): TrustShowDocument {
  return { schemaVersion: 1, node: nodeJson(view), ...TRUST_MEANING[view.trust], ...records };
}

/** Without the last line's newline. */
export function trustShow(view: NodeView, { pin, list }: TrustRecords): string {
  const { beaconId, publicKey } = figuresOf(view);
  const { means, todo } = TRUST_MEANING[view.trust];
  const rows: [string, string][] = [
    ["Node", view.name],
    ["Trust", `${view.trust}: ${means}`],
    ...(view.detail === undefined ? [] : [["Why", view.detail] as [string, string]]),
    ["Do", todo],
    ["Beacon ID", beaconId ?? "unknown"],
    ["Key", publicKey ?? "unknown"],
    ["Pin in KV", "problem" in pin ? `unknown: ${pin.problem}` : (pin.publicKey ?? "none")],
    ["Allow-list", list === null ? "none" : "problem" in list ? `unknown: ${list.problem}` : `serial ${String(list.serial)} by ${list.signedBy} ${list.publicKey === null ? "does not name it" : `names ${list.publicKey}`}`],
  ];
  return rows.map(([label, value]) => `${`${label}:`.padEnd(12)} ${printable(value)}`).join("\n");
}
