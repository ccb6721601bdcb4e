/**
 * Interarrival jitter of RFC 3550 (6.4.1 and A.8), applied to round trips: the relative transit time
 * of a probe is its RTT without the reflector's residence, D is the difference of the transit times
 * of two consecutively answered probes in order of arrival, and J += (|D| − J) / 16, with J = 0 at
 * the first probe. Both ways of the path add to it, so it is not comparable with the one-way jitter
 * of an RTP receiver. A lost probe contributes nothing and does not reset the state.
 */

export interface JitterState {
  lastTransitUs: number;
  /** Absent until a second probe was answered. */
  jitterUs?: number;
}

const GAIN = 1 / 16;

export function stepJitter(state: JitterState | undefined, transitUs: number): JitterState {
  if (state === undefined) return { lastTransitUs: transitUs };
  const jitterUs = state.jitterUs ?? 0;
  const difference = Math.abs(transitUs - state.lastTransitUs);
  return { lastTransitUs: transitUs, jitterUs: jitterUs + (difference - jitterUs) * GAIN };
}
