/** How single values are written, the same in every view. */
import { isBelieved } from "../../beacon/node-view.js";
import type { TrustState } from "../../beacon/registry.js";

/** 0..1 with one decimal, or two where the second says something: `1.0`, `0.87`. */
export function score(ratio: number): string {
  const text = ratio.toFixed(2);
  return text.endsWith("0") ? text.slice(0, -1) : text;
}

/** Milliseconds with two decimals, as the ancestor wrote them. */
export function milliseconds(ms: number): string {
  return `${ms.toFixed(2)} ms`;
}

/** 0..1 as percent with two decimals. */
export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(2)}%`;
}

/** US dollars with four decimals. */
export function dollars(usd: number): string {
  return `$${usd.toFixed(4)}`;
}

const STEPS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** In its largest whole unit: `12 s`, `5 min`, `3 h`. A clock ahead of ours gives `0 s`. */
export function age(ms: number): string {
  const [unit, size] = STEPS.find(([, size]) => ms >= size) ?? ["s", 1_000];
  return `${String(Math.max(0, Math.floor(ms / size)))} ${unit}`;
}

/** Behind a beacon ID whose node is shown and not believed, as in open mode. */
export function unverifiedLabel(trust: TrustState): string {
  return isBelieved(trust) ? "" : ` (${trust})`;
}

/** Powers of 1000, as prices are for 10^9 bytes: `512 B`, `1.50 kB`, `12.3 GB`. */
export function bytesText(bytes: number): string {
  const unit = BYTE_UNITS.findLast(([, size]) => bytes >= size);
  if (unit === undefined) return `${String(bytes)} B`;
  const value = bytes / unit[1];
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit[0]}`;
}

const BYTE_UNITS: readonly (readonly [unit: string, size: number])[] = [
  ["kB", 1e3],
  ["MB", 1e6],
  ["GB", 1e9],
  ["TB", 1e12],
  ["PB", 1e15],
];
