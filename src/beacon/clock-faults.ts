/**
 * Whose clock is wrong. A reader knows how far each peer's clock is from its own; it cannot know the time. What it can
 * tell apart: one peer that differs from the others, itself that differs from most of them, and most of them that moved
 * together while its own clock did not. Pure; milliseconds, positive where the peer is ahead of the reader.
 */

/** A record from the future is certain from here on: readers refuse it. */
export const AHEAD_MS = 10_000;
/** A record from the past may have been on its way. */
export const BEHIND_MS = 60_000;
/** A clock that was slewed moves less than this, against the monotonic one, between two judgements that agree. */
const STEP_MS = 5_000;
/** Of a single peer nobody can say which of the two is wrong. */
const MIN_PEERS = 2;

export interface ClockFaults {
  /** How far the median of all clocks, this one's among them, is ahead of this one; undefined with fewer than two peers. */
  medianMs?: number;
  /** Most peers differ from this node: its own clock, or, where it did not move while they did, the fleet's. */
  whose?: "own" | "fleet";
  /** Peers whose clocks differ from the median, and by how much. */
  peers: ReadonlyMap<string, number>;
}

/**
 * `movedMs`: how far this node's wall clock has moved against its monotonic one since it last agreed with its peers;
 * undefined where it has not agreed with them yet.
 */
export function clockFaults(offsets: ReadonlyMap<string, number>, movedMs: number | undefined): ClockFaults {
  if (offsets.size < MIN_PEERS) return { peers: new Map() };
  const medianMs = median([0, ...offsets.values()]); // this node's own clock has a vote
  const peers = new Map([...offsets].map(([node, offsetMs]): [string, number] => [node, offsetMs - medianMs]).filter(([, fromMedianMs]) => isOff(fromMedianMs)));
  if (!isOff(medianMs)) return { medianMs, peers };
  // Two that are wrong in two ways have a median that says nothing: most must agree on it.
  if (peers.size * 2 >= offsets.size) return { medianMs, peers };
  return { medianMs, whose: movedMs === undefined || Math.abs(movedMs) > STEP_MS ? "own" : "fleet", peers };
}

function isOff(offsetMs: number): boolean {
  return offsetMs > AHEAD_MS || offsetMs < -BEHIND_MS;
}

/** Of the two in the middle of an even number the one that is nearer to this node's clock. */
function median(clocks: readonly number[]): number {
  const sorted = [...clocks].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, sorted[Math.floor(sorted.length / 2)] ?? 0];
  return Math.abs(low) <= Math.abs(high) ? low : high;
}
