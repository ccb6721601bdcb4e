/**
 * How often each plane is written, from the number of members: pure arithmetic. What one agent, one Raft log and
 * one gossip pool carry is in reference form in docs/planes.md; the effective values are exported as metrics.
 */

/** Raft writes a second that all sidecars of a cluster may cause together: half of what Consul allows coordinates. */
export const CLUSTER_WRITES_PER_S = 32;
/** A node whose values do not change writes its two planes together at most this often a second. */
export const IDLE_WRITES_PER_S = 0.02;
/** Bytes that Consul and Serf add to a user event's payload: IDs, names, msgpack framing (measured on 1.20). */
const EVENT_OVERHEAD_BYTES = 130;

export interface CadenceLimits {
  /** TTL pass and, in a small cluster, event period. */
  beatMs: number;
  /** Shortest period of an unchanged written plane; 100 s is the 0.02 writes/s of two planes. */
  heartbeatMinMs: number;
  /** Shortest signed validity. */
  validityMinMs: number;
}

export const DEFAULT_LIMITS: CadenceLimits = {
  beatMs: 5_000,
  heartbeatMinMs: 2_000 / IDLE_WRITES_PER_S,
  validityMinMs: 300_000,
};

export interface Cadence {
  /** Of each written plane (service meta, KV state) while nothing changes. */
  heartbeatMs: number;
  /** Signed validity, and the maximum age. */
  validityMs: number;
  /** Null: events are stopped, because KV brings news sooner. */
  eventMs: number | null;
  /** This node's share of the cluster's write budget, and what it may save up. */
  writesPerS: number;
  writeBurst: number;
  /** Periods of what it carried that this node keeps in KV: all nodes' together stay a few megabytes. */
  usagePeriods: number;
  /** Least time between two reads of the catalog: one read costs the cluster's size, so all readers together cost N². */
  catalogReadMs: number;
}

export function cadenceFor(members: number, sealedBytes: number, limits: CadenceLimits = DEFAULT_LIMITS): Cadence {
  const n = Math.max(1, members);
  const heartbeatMs = Math.max(limits.heartbeatMinMs, (n / CLUSTER_WRITES_PER_S) * 2_000);
  const eventMs = Math.max(limits.beatMs, n * (4_000 / gossipCapacityPerS(n, sealedBytes)));
  return {
    heartbeatMs,
    validityMs: Math.ceil(Math.max(limits.validityMinMs, 3 * heartbeatMs) / 1_000) * 1_000,
    eventMs: eventMs > heartbeatMs ? null : eventMs,
    writesPerS: Math.min(1, CLUSTER_WRITES_PER_S / n),
    writeBurst: 2,
    usagePeriods: Math.max(2, Math.min(24, Math.floor(20_000 / n))),
    catalogReadMs: Math.max(1_000, n * 10),
  };
}

/**
 * User events a second that the whole cluster can gossip: memberlist sends 1400-byte packets every 200 ms to 3 nodes
 * and repeats each broadcast 4·ceil(log10(N+1)) times.
 */
function gossipCapacityPerS(members: number, sealedBytes: number): number {
  const eventsPerPacket = Math.max(1, Math.floor(1398 / (sealedBytes + EVENT_OVERHEAD_BYTES + 3)));
  const retransmits = 4 * Math.ceil(Math.log10(members + 1));
  return (15 * eventsPerPacket) / retransmits;
}
