/** The latency estimate of this node, read from Consul; what it means and how it is computed: coordinates.ts. */
import type { CallOptions, ConsulApi, NodeCoordinate } from "../consul-api.js";
import { estimateLatency, type LatencyEstimate } from "./coordinates.js";
import { measured, type Reading, readingOf, unmeasured } from "./reading.js";

/**
 * `ownNode` is the Consul node name. Coordinates are read `stale`, since any server's are as good as the leader's.
 * Rejects only where the call was aborted.
 */
export async function readLatencyEstimate(
  consul: Pick<ConsulApi, "coordinates" | "members">,
  ownNode: string,
  options: CallOptions = {},
): Promise<Reading<LatencyEstimate & { own: NodeCoordinate }>> {
  const [coordinates, members] = await Promise.all([
    readingOf(consul.coordinates({ ...options, consistency: "stale" })),
    readingOf(consul.members(options)),
  ]);
  if (coordinates.value === undefined) return coordinates;
  if (members.value === undefined) return members;
  const estimate = estimateLatency(ownNode, coordinates.value.value, members.value);
  const own = coordinates.value.value.find(({ node }) => node === ownNode);
  return estimate.value === undefined || own === undefined ? unmeasured(estimate.reason ?? "own-coordinate-missing") : measured({ ...estimate.value, own });
}
