/**
 * Time as the prober uses it. Intervals come from the monotonic clock alone; the wall clock only
 * labels them, through an anchor, so that a stepped wall clock moves no round-trip time and no
 * residence time.
 */

export interface ProbeClock {
  /** Nanoseconds from an arbitrary start; never goes back. */
  monotonicNs(): bigint;
  /** Unix nanoseconds of a monotonic reading, by the present anchor. */
  unixNsAt(monotonicNs: bigint): bigint;
}

/** Timers in milliseconds. The function that comes back cancels. */
export interface ProbeTimers {
  after(delayMs: number, run: () => void): () => void;
}

const NS_PER_MS = 1_000_000n;
/** Below this the anchor stays, since Date.now() itself is only good to a millisecond. */
const TOLERATED_DRIFT_NS = 2n * NS_PER_MS;

export class SystemProbeClock implements ProbeClock {
  private offsetNs = readOffsetNs();

  monotonicNs(): bigint {
    return process.hrtime.bigint();
  }

  unixNsAt(monotonicNs: bigint): bigint {
    return monotonicNs + this.offsetNs;
  }

  /** Follows a stepped or drifted wall clock. To be called now and then, never between T2 and T3. */
  reanchor(): void {
    const offsetNs = readOffsetNs();
    const driftNs = offsetNs - this.offsetNs;
    if (driftNs > TOLERATED_DRIFT_NS || driftNs < -TOLERATED_DRIFT_NS) this.offsetNs = offsetNs;
  }
}

export const systemTimers: ProbeTimers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

function readOffsetNs(): bigint {
  return BigInt(Date.now()) * NS_PER_MS - process.hrtime.bigint();
}
