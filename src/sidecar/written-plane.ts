/**
 * When a plane that costs a Raft write is written: at once when something moved and the budget allows, else at its
 * heartbeat; after a failure no sooner than its backoff. Holds no value of its own but what was written last, so an
 * outage ends in one write, of the newest value.
 */
import type { Backoff } from "./backoff.js";
import type { Moved } from "./significance.js";
import type { TokenBucket } from "./token-bucket.js";

export type WriteOutcome = "written" | "not-due" | "deferred" | "failed";

export class WrittenPlane<R> {
  #last: R | undefined;
  #heartbeatAtMs = 0;
  #notBeforeMs = 0;
  #failing = false;

  constructor(
    private readonly deps: {
      moved: Moved<R>;
      /** Shared by the node's planes. */
      budget: TokenBucket;
      backoff: Backoff;
      random: () => number;
      /** Monotonic. */
      monoMs: () => number;
    },
  ) {}

  /** What is known to stand in Consul. */
  get last(): R | undefined {
    return this.#last;
  }

  /** Consul lost it, or may have: the next offer writes. */
  forget(): void {
    this.#last = undefined;
  }

  /** Rejects with what `write` rejects with, after taking note of the failure. */
  async offer(record: R, heartbeatMs: number, write: () => Promise<void>): Promise<WriteOutcome> {
    const nowMs = this.deps.monoMs();
    const moved = this.#last !== undefined && this.deps.moved(this.#last, record, nowMs);
    if (this.#last !== undefined && nowMs < this.#heartbeatAtMs && !moved) return "not-due";
    if (nowMs < this.#notBeforeMs) return "failed";
    if (!this.deps.budget.tryTake(nowMs)) return "deferred";
    try {
      await write();
    } catch (error) {
      this.#failing = true;
      this.#notBeforeMs = this.deps.monoMs() + this.deps.backoff.next(); // from here: the try itself may have taken its deadline
      throw error;
    }
    if (this.#failing) this.deps.backoff.reset();
    this.#failing = false;
    this.#notBeforeMs = 0;
    this.#last = record;
    // Up to a tenth later, so that nodes that started together drift apart and the rate stays below its bound.
    this.#heartbeatAtMs = nowMs + heartbeatMs * (1 + 0.1 * this.deps.random());
    return "written";
  }
}
