/**
 * Tells whether the event loop was just late. A packet that arrives during a stall is read right
 * after it, and the wait would be measured as network delay; such a sample is discarded by its owner.
 * A stall that ended earlier did no harm: the loop reads its sockets at every turn. The beat runs
 * only while it is wanted, since most round trips are over before the first one is due.
 *
 *   beat ──5 ms── beat ──5 ms── (busy 40 ms) ────── beat: 35 ms late → stall
 */
import type { ProbeClock, ProbeTimers } from "./probe-clock.js";

const BEAT_MS = 5;
/** Timers fire up to a millisecond late on a quiet machine; the rest is room for a busy one. */
const TOLERANCE_MS = 3;
const STALL_NS = BigInt(BEAT_MS + TOLERANCE_MS) * 1_000_000n;
/** What waited in the sockets is read within this time after a stall. */
const AFTERMATH_NS = 2_000_000n;

export class StallDetector {
  private lastBeatNs: bigint | undefined;
  private lastStallEndNs: bigint | undefined;
  private cancel: (() => void) | undefined;

  constructor(
    private readonly clock: ProbeClock,
    private readonly timers: ProbeTimers,
  ) {}

  /** Starts beating, where it does not beat yet. */
  watch(): void {
    if (this.cancel !== undefined) return;
    this.lastBeatNs = this.clock.monotonicNs();
    this.schedule();
  }

  unwatch(): void {
    this.cancel?.();
    this.cancel = undefined;
    this.lastBeatNs = undefined;
  }

  /**
   * Did a stall end just before `nowNs`, or is one ending right now? The second question counts:
   * after a long callback the loop may read sockets before it runs the timer that would notice.
   */
  justStalled(nowNs: bigint): boolean {
    this.note(nowNs);
    return this.lastStallEndNs !== undefined && nowNs - this.lastStallEndNs <= AFTERMATH_NS;
  }

  private schedule(): void {
    this.cancel = this.timers.after(BEAT_MS, () => {
      const nowNs = this.clock.monotonicNs();
      this.note(nowNs);
      this.lastBeatNs = nowNs;
      this.schedule();
    });
  }

  private note(nowNs: bigint): void {
    if (this.lastBeatNs !== undefined && nowNs - this.lastBeatNs > STALL_NS) this.lastStallEndNs = nowNs;
  }
}
