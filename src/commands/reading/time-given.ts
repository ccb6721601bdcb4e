/** A point in time as a person gives it on a command line: `2026-11-29`, `2026-11-29T10:00Z`, or how long ago, `24h`. */
import { UsageError } from "./usage-error.js";

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z?)?$/;

/** Unix milliseconds; a time without a zone is UTC. Throws UsageError. */
export function timeGiven(flag: string, text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count !== undefined) return nowMs - Number(count) * (UNITS_MS[unit] ?? 0);
  const ms = DATE.test(text) ? Date.parse(text.includes("T") && !text.endsWith("Z") ? `${text}Z` : text) : Number.NaN;
  if (Number.isNaN(ms)) throw new UsageError(`${flag}: ${JSON.stringify(text)} is neither a time (2026-11-29, 2026-11-29T10:00Z, in UTC) nor how long ago (90m, 24h, 7d)`);
  return ms;
}
