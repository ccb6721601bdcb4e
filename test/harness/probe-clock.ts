/** A clock and timers for the prober that move only when a test says so. */
import type { ProbeClock, ProbeTimers } from "../../src/sidecar/probe/probe-clock.js";

const NS_PER_MS = 1e6;

export class ManualProbeClock implements ProbeClock, ProbeTimers {
  private nowNs = 1_000_000_000n;
  private readonly pending = new Map<number, { dueNs: bigint; run: () => void }>();
  private nextId = 0;

  /** `unixNs`: what the wall clock says at the start. */
  constructor(private readonly unixNs = 1_795_464_000_000_000_000n) {}

  monotonicNs(): bigint {
    return this.nowNs;
  }

  unixNsAt(monotonicNs: bigint): bigint {
    return this.unixNs + monotonicNs - 1_000_000_000n;
  }

  after(delayMs: number, run: () => void): () => void {
    const id = this.nextId++;
    this.pending.set(id, { dueNs: this.nowNs + BigInt(Math.round(delayMs * NS_PER_MS)), run });
    return () => this.pending.delete(id);
  }

  /** Moves on by `ms`, running timers at their times. */
  advance(ms: number): void {
    const endNs = this.nowNs + BigInt(Math.round(ms * NS_PER_MS));
    for (;;) {
      const next = [...this.pending].filter(([, timer]) => timer.dueNs <= endNs).sort(([, a], [, b]) => Number(a.dueNs - b.dueNs))[0];
      if (next === undefined) break;
      const [id, timer] = next;
      this.pending.delete(id);
      if (timer.dueNs > this.nowNs) this.nowNs = timer.dueNs;
      timer.run();
    }
    this.nowNs = endNs;
  }

  /** The thread is busy for `ms`: time passes, no timer runs. */
  block(ms: number): void {
    this.nowNs += BigInt(Math.round(ms * NS_PER_MS));
  }

  get timers(): number {
    return this.pending.size;
  }
}
