/**
 * Round trips estimated from network coordinates (Vivaldi). Pure. An estimate, never evidence: coordinates are wrong
 * below a millisecond, and exist for nodes that cannot reach each other. The arithmetic is that of Serf's client
 * (serf/coordinate, Coordinate.DistanceTo), which `consul rtt` prints: distance of the vectors plus both heights, plus
 * both adjustments where the sum stays above zero.
 */
import type { Coordinate } from "./record.js";

/** Vector, height and adjustment in one unit of time, whichever: Consul's seconds, or a signed state's nanoseconds. */
export interface Vivaldi {
  vector: readonly number[];
  height: number;
  adjustment: number;
  /** Serf's relative error, without a unit. */
  error: number;
}

/** VivaldiErrorMax of Serf's default configuration: the error of a coordinate that has seen no round trip. */
const INITIAL_ERROR = 1.5;
const NS_PER_S = 1e9;
const NS_PER_US = 1_000;

/** Still where Serf starts every node, at the origin: it says nothing about distance yet. */
export function isInitial({ vector, error }: Vivaldi): boolean {
  return error >= INITIAL_ERROR && vector.every((x) => x === 0);
}

/** Finite, of at least one dimension, and not initial. */
export function isUsable(c: Vivaldi): boolean {
  const finite = [...c.vector, c.error, c.adjustment, c.height].every((x) => Number.isFinite(x));
  return finite && c.vector.length > 0 && !isInitial(c);
}

/** The round trip in the unit of both. Undefined for coordinates that are not usable or of different dimensions. */
export function distance(a: Vivaldi, b: Vivaldi): number | undefined {
  if (a.vector.length !== b.vector.length || !isUsable(a) || !isUsable(b)) return undefined;
  let sumOfSquares = 0;
  a.vector.forEach((x, i) => {
    const difference = x - (b.vector[i] ?? Number.NaN);
    sumOfSquares += difference * difference;
  });
  const raw = Math.sqrt(sumOfSquares) + a.height + b.height;
  const adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

/** Nanoseconds, cut as Serf cuts them, to microseconds. Undefined for what is no duration. */
export function durationUs(ns: number): number | undefined {
  const wholeNs = Math.trunc(ns);
  return Number.isSafeInteger(wholeNs) && wholeNs >= 0 ? wholeNs / NS_PER_US : undefined;
}

/** Between two nodes by the coordinates that they signed, in microseconds. Undefined where there is no estimate. */
export function signedDistanceUs(a: Coordinate, b: Coordinate): number | undefined {
  const ns = distance(vivaldiNs(a), vivaldiNs(b));
  return ns === undefined ? undefined : durationUs(ns);
}

/** A coordinate in seconds, Consul's unit, as it is signed. Undefined for one that says nothing. */
export function signedCoordinate(seconds: Vivaldi): Coordinate | undefined {
  if (!isUsable(seconds)) return undefined;
  const ns = (value: number): number => Math.round(value * NS_PER_S) + 0; // + 0: no negative zero
  return {
    vectorNs: seconds.vector.map(ns),
    adjustmentNs: ns(seconds.adjustment),
    heightNs: Math.max(0, ns(seconds.height)),
    errorRatio: seconds.error,
  };
}

function vivaldiNs({ vectorNs, heightNs, adjustmentNs, errorRatio }: Coordinate): Vivaldi {
  return { vector: vectorNs, height: heightNs, adjustment: adjustmentNs, error: errorRatio };
}
