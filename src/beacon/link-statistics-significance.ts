/**
 * When a measured value has moved enough to be worth a write. Pure. The published value changes
 * once the measured one has been outside the dead-band, and on the same side of it, for `holdMs`
 * without a break; a flapping link therefore writes nothing until it settles. Becoming measured or
 * unmeasured counts as leaving the band.
 *
 *   published ──▶ [ published ± max(absolute, relative × published) ] ──out, same side, holdMs──▶ publish
 */

export interface DeadBand {
  /** In the unit of the value. */
  absolute: number;
  /** Share of the published value, 0..1. */
  relative: number;
  /** How long the value must stay outside. */
  holdMs: number;
}

type Side = "above" | "below" | "appeared" | "vanished";

export interface Significance {
  /** What the world sees; absent: unmeasured. */
  published?: number;
  outside?: { side: Side; sinceMs: number };
}

export interface SignificanceStep {
  state: Significance;
  /** Whether `state.published` differs from before. */
  changed: boolean;
}

/** One step with a measured `value` at a monotonic `nowMs`. Start from `{}`. */
export function stepSignificance(
  state: Significance,
  value: number | undefined,
  nowMs: number,
  band: DeadBand,
): SignificanceStep {
  const side = sideOf(state.published, value, band);
  if (side === undefined) return { state: published(state.published), changed: false };
  const sinceMs = state.outside?.side === side ? state.outside.sinceMs : nowMs;
  if (nowMs - sinceMs < band.holdMs) {
    return { state: { ...published(state.published), outside: { side, sinceMs } }, changed: false };
  }
  return { state: published(value), changed: true };
}

function sideOf(before: number | undefined, value: number | undefined, band: DeadBand): Side | undefined {
  if (before === undefined) return value === undefined ? undefined : "appeared";
  if (value === undefined) return "vanished";
  const width = Math.max(band.absolute, Math.abs(before) * band.relative);
  if (value > before + width) return "above";
  return value < before - width ? "below" : undefined;
}

function published(value: number | undefined): Significance {
  return value === undefined ? {} : { published: value };
}
