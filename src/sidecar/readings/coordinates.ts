/**
 * The node's headline latency as Consul's network coordinates, in seconds, estimate it. Pure. Coordinates exist for
 * nodes that cannot reach each other, so only members that are alive count. The arithmetic is beacon/coordinate.ts.
 */
import { distance, durationUs, isInitial, isUsable } from "../../beacon/coordinate.js";
import type { Member, NodeCoordinate } from "../consul-api.js";
import { measured, type Reading, unmeasured } from "./reading.js";

type Coordinate = Omit<NodeCoordinate, "node">;

export interface LatencyEstimate {
  /** Median over the peers, whole microseconds. */
  rttUs: number;
  /** How many peers it is the median of; at least 1. */
  peers: number;
}

/** Microseconds, in steps of a nanosecond as Serf truncates. Undefined where there is no estimate (beacon/coordinate.ts). */
export function estimateRttUs(a: Coordinate, b: Coordinate): number | undefined {
  const seconds = distance(a, b);
  return seconds === undefined ? undefined : durationUs(seconds * 1e9);
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

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}
