/** A usage statement as it lies in KV, for people and for readers, who take the sealed bytes alone. */
import { usagePrefix } from "./documents.js";
import type { Signed } from "./envelope.js";
import { statementName, type UsageStatement } from "./usage-record.js";

export function usageKey(record: Pick<UsageStatement, "node" | "datacenter" | "periodStartMs" | "part">): string {
  return usagePrefix(record.datacenter, record.node) + statementName(record);
}

/** The node and the beginning of the period that a key is of; undefined for a key that is none of ours. */
export function placeOfUsage(key: string): { node: string; periodStartMs: number } | undefined {
  const [, node, start] = /([^/]+)\/(\d{1,16})-\d{1,6}$/.exec(key) ?? [];
  return node === undefined || start === undefined ? undefined : { node, periodStartMs: Number(start) };
}

/** Of periods that begin within it; an end of 0 is none. */
export interface UsageQuery {
  /** Absent: all nodes'. */
  node?: string;
  fromMs: number;
  toMs: number;
}

export function isAskedFor({ node, fromMs, toMs }: UsageQuery, place: { node: string; periodStartMs: number }): boolean {
  return (node === undefined || place.node === node) && place.periodStartMs >= fromMs && (toMs === 0 || place.periodStartMs < toMs);
}

export function usageDocument({ record, sealed }: Signed<UsageStatement>): string {
  const { node, periodStartMs, untilMs, rows, seen } = record;
  const sum = (figure: "bytesIn" | "bytesOut") => rows.reduce((bytes, row) => bytes + row[figure], 0);
  return JSON.stringify({
    v: 1, node, from: new Date(periodStartMs).toISOString(), until: new Date(untilMs).toISOString(),
    allocations: rows.length, bytesIn: sum("bytesIn"), bytesOut: sum("bytesOut"), ofPeers: seen.length,
    sealed: Buffer.from(sealed).toString("base64"),
  }, null, 1);
}

/** The sealed bytes, unverified; null for what is no such document. */
export function sealedUsageIn(document: Uint8Array): Uint8Array | null {
  try {
    const { v, sealed } = JSON.parse(Buffer.from(document).toString("utf8")) as { v?: unknown; sealed?: unknown };
    return v === 1 && typeof sealed === "string" ? Buffer.from(sealed, "base64") : null;
  } catch {
    return null;
  }
}
