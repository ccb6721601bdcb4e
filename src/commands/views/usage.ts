/** `cluster usage`: what was carried, for whom and what it comes to: rows, the table, CSV and the JSON. Unknown is null. */
import type { Signed } from "../../beacon/envelope.js";
import type { Rotation } from "../../beacon/rotation.js";
import { type AllocationUsage, type PeerVerdict, usageOf } from "../../beacon/usage.js";
import { isClosed, type UsageStatement } from "../../beacon/usage-record.js";
import { brokenLinks, type ReadStatements } from "../reading/usage-statements.js";
import { type ColumnPlan, droppedNote, layOut, type TableOptions } from "./columns.js";
import { printable } from "./printable.js";
import { bytesText } from "./wording.js";

/** What rows may be told apart by. */
export const DIMENSIONS = ["period", "node", "workload", "allocation"] as const;
export type Dimension = (typeof DIMENSIONS)[number];

export interface UsageRowJson {
  period: string | null;
  node: string | null;
  datacenter: string | null;
  workload: string | null;
  namespace: string | null;
  allocation: string | null;
  bytesIn: number;
  bytesOut: number;
  meteredMs: number;
  /** Of the one price, where there was one. */
  pricePerGb: number | null;
  /** Exact, US dollars. */
  amountUsd: string | null;
  /** Counted by a peer too: the lesser of both counts. */
  confirmed: { bytesIn: number; bytesOut: number };
  /** How many pairs of workload and peer stand how. */
  peers: Record<PeerVerdict, number>;
  statements: readonly string[];
}

export interface UsageDocument {
  schemaVersion: 1;
  by: readonly Dimension[];
  rows: UsageRowJson[];
  total: Omit<UsageRowJson, "statements" | "period" | "node" | "datacenter" | "workload" | "namespace" | "allocation">;
  /** The two counts of each pair of workload and peer. */
  pairs: { period: string; node: string; workload: string; allocation: string; peer: string; peerKey: string; bytesIn: number; bytesOut: number; seen: { bytesIn: number; bytesOut: number } | null; verdict: PeerVerdict }[];
  /** What all of it is from, to be verified anywhere: `cluster usage --from FILE --trust KEYS`. */
  statements: { node: string; datacenter: string; period: string; periodS: number; part: number; until: string; ended: boolean; sha256: string; publicKey: string; sealed: string }[];
  rotations: [string, string][];
  rejected: { name: string; reason: string }[];
  /** Statements that follow another one than the one here. */
  broken: { node: string; datacenter: string; period: string }[];
}

export function usageDocument(read: ReadStatements, by: readonly Dimension[], workloads: readonly string[]): UsageDocument {
  const used = usageOf(read.statements).filter(({ job, allocation }) => workloads.length === 0 || workloads.some((one) => one === job || (one.length >= 8 && allocation.startsWith(one))));
  const groups = new Map<string, AllocationUsage[]>();
  for (const usage of used) {
    const id = JSON.stringify(by.map((dimension) => valueOf(usage, dimension)));
    groups.set(id, [...(groups.get(id) ?? []), usage]);
  }
  const { statements: _, ...total } = sum(used, []);
  return {
    schemaVersion: 1,
    by,
    rows: [...groups.values()].map((group) => ({ ...placeOf(group, by), ...sum(group, by) })),
    total,
    pairs: used.flatMap((usage) => usage.peers.map(({ node: peer, key: peerKey, bytesIn, bytesOut, seen, verdict }) => ({
      period: iso(usage.periodStartMs), node: usage.node, workload: usage.job, allocation: usage.allocation, peer, peerKey, bytesIn, bytesOut,
      seen: seen === undefined ? null : { bytesIn: seen.bytesIn, bytesOut: seen.bytesOut }, verdict,
    }))),
    statements: read.statements.map(statementJson),
    rotations: read.rotations.map(({ sealed }: Rotation) => [base64(sealed.byOld), base64(sealed.byNew)]),
    rejected: read.rejected,
    broken: brokenLinks(read.statements).map(({ node, datacenter, periodStartMs }) => ({ node, datacenter, period: iso(periodStartMs) })),
  };
}

const HEADINGS = { period: "PERIOD", node: "NODE", workload: "WORKLOAD", allocation: "ALLOCATION", in: "IN", out: "OUT", price: "PRICE/GB", amount: "AMOUNT", confirmed: "CONFIRMED", peers: "PEERS" } as const;
type Column = keyof typeof HEADINGS;

/** Without the last newline. */
export function usageTable({ rows, total, by, rejected, broken }: UsageDocument, options: TableOptions): string {
  if (rows.length === 0) return ["Nothing was carried in these periods, as far as any node's statements say.", ...remarks({ rejected, broken })].join("\n");
  const headings = Object.fromEntries(Object.entries(HEADINGS).filter(([column]) => !DIMENSIONS.some((dimension) => dimension === column) || by.some((dimension) => dimension === column))) as Record<Column, string>;
  const plan: ColumnPlan<Column> = { headings, left: new Set(["period", "node", "workload", "allocation", "peers"]), dropOrder: ["price", "peers", "confirmed"], shrink: ["workload", "allocation", "node"] };
  const all = [...rows.map(cells), ...(rows.length > 1 ? [{ ...cells({ ...total, period: null, node: null, datacenter: null, workload: null, namespace: null, allocation: null, statements: [] }), [by[0] ?? "node"]: "total" }] : [])];
  const { lines, dropped } = layOut(plan, all, options, (_, cell) => cell);
  return [...lines, ...droppedNote(dropped), ...remarks({ rejected, broken })].join("\n");
}

/** RFC 4180, with the line of headings; without the last line end. */
export function usageCsv({ rows, by }: UsageDocument): string {
  const headings = [...by.map((dimension) => (dimension === "period" ? "period_start" : dimension)), "bytes_in", "bytes_out", "metered_s", "price_usd_per_gb", "amount_usd", "confirmed_bytes_in", "confirmed_bytes_out", "peers_agreed", "peers_differ", "peers_unconfirmed", "peers_open", "statement_sha256"];
  const lines = rows.map((row) => [
    ...by.map((dimension) => row[dimension] ?? ""),
    row.bytesIn, row.bytesOut, row.meteredMs / 1_000, row.pricePerGb ?? "", row.amountUsd ?? "", row.confirmed.bytesIn, row.confirmed.bytesOut,
    row.peers.agreed, row.peers.differs, row.peers.unconfirmed, row.peers.open, row.statements.join(" "),
  ]);
  return [headings, ...lines].map((line) => line.map((value) => csvField(String(value))).join(",")).join("\r\n");
}

/** A spreadsheet takes a cell that begins so for a formula, and names come from whoever submits jobs. */
function csvField(value: string): string {
  const plain = /^[=+\-@\t]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function sum(group: readonly AllocationUsage[], by: readonly Dimension[]): Omit<UsageRowJson, "period" | "node" | "datacenter" | "workload" | "namespace" | "allocation"> {
  const prices = new Set(group.flatMap(({ pricesMicroUsdPerGb }) => pricesMicroUsdPerGb));
  const [price] = prices;
  const amounts = group.map(({ amountFemtoUsd }) => amountFemtoUsd);
  const peers: Record<PeerVerdict, number> = { agreed: 0, differs: 0, unconfirmed: 0, open: 0 };
  for (const { verdict } of group.flatMap((usage) => usage.peers)) peers[verdict] += 1;
  const plus = (of: (usage: AllocationUsage) => number): number => group.reduce((total, usage) => total + of(usage), 0);
  return {
    bytesIn: plus(({ bytesIn }) => bytesIn), bytesOut: plus(({ bytesOut }) => bytesOut), meteredMs: plus(({ meteredMs }) => meteredMs),
    pricePerGb: prices.size === 1 && price !== undefined ? price / 1e6 : null,
    amountUsd: amounts.every((amount) => amount !== undefined) ? femtoUsdText(amounts.reduce<bigint>((total, amount) => total + amount, 0n)) : null,
    confirmed: { bytesIn: plus(({ confirmed }) => confirmed.bytesIn), bytesOut: plus(({ confirmed }) => confirmed.bytesOut) },
    peers,
    statements: by.length === 0 ? [] : [...new Set(group.flatMap(({ statements }) => statements))],
  };
}

function placeOf(group: readonly AllocationUsage[], by: readonly Dimension[]): Pick<UsageRowJson, "period" | "node" | "datacenter" | "workload" | "namespace" | "allocation"> {
  const [first] = group as [AllocationUsage];
  const has = (dimension: Dimension) => by.includes(dimension);
  return {
    period: has("period") ? iso(first.periodStartMs) : null,
    node: has("node") ? first.node : null,
    datacenter: has("node") ? first.datacenter : null,
    workload: has("workload") || has("allocation") ? first.job : null,
    namespace: has("workload") || has("allocation") ? first.namespace : null,
    allocation: has("allocation") ? first.allocation : null,
  };
}

function valueOf(usage: AllocationUsage, dimension: Dimension): string {
  switch (dimension) {
    case "period": return String(usage.periodStartMs);
    case "node": return `${usage.datacenter}/${usage.node}`;
    case "workload": return `${usage.namespace}/${usage.job}`;
    case "allocation": return usage.allocation;
  }
}

function cells(row: UsageRowJson): Record<Column, string> {
  const { agreed, differs, unconfirmed, open } = row.peers;
  const told = [["agreed", agreed], ["differs", differs], ["unconfirmed", unconfirmed], ["open", open]].filter(([, count]) => count !== 0);
  return {
    period: row.period === null ? "" : row.period.replace("T", " ").replace(".000Z", ""),
    node: printable(row.node ?? ""), workload: printable(row.workload ?? ""), allocation: (row.allocation ?? "").slice(0, 8),
    in: bytesText(row.bytesIn), out: bytesText(row.bytesOut),
    price: row.pricePerGb === null ? "-" : `$${String(row.pricePerGb)}`,
    amount: row.amountUsd === null ? "-" : `$${row.amountUsd}`,
    confirmed: bytesText(row.confirmed.bytesIn + row.confirmed.bytesOut),
    peers: told.length === 0 ? "-" : told.map(([verdict, count]) => `${String(count)} ${String(verdict)}`).join(", "),
  };
}

function remarks({ rejected, broken }: Pick<UsageDocument, "rejected" | "broken">): string[] {
  return [
    ...rejected.map(({ name, reason }) => `not used: ${printable(name)}: ${printable(reason)}`),
    ...broken.map(({ node, period }) => `${printable(node)}: its statement of ${period} follows another one than the one before it here`),
  ];
}

function statementJson({ record, key, hash, sealed }: Signed<UsageStatement>): UsageDocument["statements"][number] {
  return {
    node: record.node, datacenter: record.datacenter, period: iso(record.periodStartMs), periodS: record.periodMs / 1_000, part: record.part,
    until: iso(record.untilMs), ended: isClosed(record), sha256: hash, publicKey: key.hex, sealed: base64(sealed),
  };
}

/** 1e-15 US dollars, as a decimal without trailing zeros. */
export function femtoUsdText(amount: bigint): string {
  const digits = amount.toString().padStart(16, "0");
  return `${digits.slice(0, -15)}.${digits.slice(-15)}`.replace(/\.?0+$/, "");
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
