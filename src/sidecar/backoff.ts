/**
 * How long to wait before the next try: doubling up to a maximum, each wait drawn from its upper half,
 * so that nodes that lost the same Consul at the same moment do not come back at the same moment.
 * Pure but for the injected random; waits for nothing itself.
 */
export interface BackoffLimits {
  initialMs: number;
  maxMs: number;
}

/** The longest wait leaves half of the 30 s in which the planes converge after an election. */
export const DEFAULT_BACKOFF: BackoffLimits = { initialMs: 500, maxMs: 15_000 };

export class Backoff {
  #failures = 0;

  constructor(
    /** In [0, 1). */
    private readonly random: () => number,
    private readonly limits: BackoffLimits = DEFAULT_BACKOFF,
  ) {}

  /** After a failure: milliseconds until the next try. */
  next(): number {
    const fullMs = Math.min(this.limits.maxMs, this.limits.initialMs * 2 ** this.#failures);
    this.#failures += 1;
    return fullMs * (0.5 + 0.5 * this.random());
  }

  /** After a success. */
  reset(): void {
    this.#failures = 0;
  }
}
