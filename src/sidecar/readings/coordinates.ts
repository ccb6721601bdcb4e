/**
 * Round trips estimated from Consul's network coordinates. Pure. An estimate, never evidence: coordinates are wrong
 * below a millisecond, and exist for nodes that cannot reach each other, so only members that are alive count.
 * The arithmetic is that of Serf's client (serf/coordinate, Coordinate.DistanceTo), which `consul rtt` prints:
 * distance of the vectors plus both heights, plus both adjustments where the sum stays above zero.
 */
import type { Member, NodeCoordinate } from "../consul-api.js";
import { measured, type Reading, unmeasured } from "./reading.js";

type Coordinate = Omit<NodeCoordinate, "node">;

/** VivaldiErrorMax of Serf's default configuration: the error of a coordinate that has seen no round trip. */
const INITIAL_ERROR = 1.5;

export interface LatencyEstimate {
  /** Median over the peers, whole microseconds. */
  rttUs: number;
  /** How many peers it is the median of; at least 1. */
  peers: number;
}

/** Still where Serf starts every node, at the origin: it says nothing about distance yet. */
export function isInitial(coordinate: Coordinate): boolean {
  return coordinate.error >= INITIAL_ERROR && coordinate.vector.every((x) => x === 0);
}

/**
 * Microseconds, in steps of a nanosecond as Serf truncates. Undefined where there is no estimate: a coordinate that is
 * initial or not finite, vectors of different dimensions, a result that is no duration.
 */
export function estimateRttUs(a: Coordinate, b: Coordinate): number | undefined {
  if (a.vector.length !== b.vector.length || !isUsable(a) || !isUsable(b)) return undefined;
  let sumOfSquares = 0;
  a.vector.forEach((x, i) => {
    const difference = x - (b.vector[i] ?? Number.NaN);
    sumOfSquares += difference * difference;
  });
  const rawS = Math.sqrt(sumOfSquares) + a.height + b.height;
  const adjustedS = rawS + a.adjustment + b.adjustment;
  const rttNs = Math.trunc((adjustedS > 0 ? adjustedS : rawS) * 1e9);
  return Number.isSafeInteger(rttNs) && rttNs >= 0 ? rttNs / 1000 : undefined;
}

/** The headline: the median estimate from `ownNode` to the members that are alive and have a coordinate. */
export function estimateLatency(
  ownNode: string,
  coordinates: readonly NodeCoordinate[],
  members: readonly Member[],
): Reading<LatencyEstimate> {
  const own = coordinates.find((c) => c.node === ownNode);
  if (own === undefined) return unmeasured("own-coordinate-missing");
  if (isInitial(own)) return unmeasured("own-coordinate-initial");
  if (!isUsable(own)) return unmeasured("own-coordinate-invalid");

  const alive = new Set(members.filter((m) => m.status === "alive").map((m) => m.name));
  const estimatesUs: number[] = [];
  for (const peer of coordinates) {
    if (peer.node === ownNode || !alive.has(peer.node)) continue;
    const rttUs = estimateRttUs(own, peer);
    if (rttUs !== undefined) estimatesUs.push(rttUs);
  }
  const rttUs = median(estimatesUs);
  if (rttUs === undefined) return unmeasured("no-peer-coordinate");
  return measured({ rttUs: Math.round(rttUs), peers: estimatesUs.length });
}

function isUsable(c: Coordinate): boolean {
  const finite = [...c.vector, c.error, c.adjustment, c.height].every((x) => Number.isFinite(x));
  return finite && c.vector.length > 0 && !isInitial(c);
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}
