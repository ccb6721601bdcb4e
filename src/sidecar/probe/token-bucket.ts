/** A token bucket on the monotonic clock: `ratePerSecond` on average, `burst` at once. */

export class TokenBucket {
  private tokens: number;
  private filledNs: bigint | undefined;

  constructor(
    private readonly ratePerSecond: number,
    private readonly burst: number,
  ) {
    this.tokens = burst;
  }

  /** Takes a token if there is one. */
  take(nowNs: bigint): boolean {
    if (this.filledNs !== undefined) {
      const seconds = Number(nowNs - this.filledNs) / 1e9;
      this.tokens = Math.min(this.burst, this.tokens + seconds * this.ratePerSecond);
    }
    this.filledNs = nowNs;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
