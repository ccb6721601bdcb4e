/** A token bucket on the monotonic clock, whose time is passed in: `perS` on average, `burst` at once. */
export class TokenBucket {
  #tokens: number;
  #filledMs: number | undefined;

  constructor(
    private perS: number,
    private burst: number,
  ) {
    this.#tokens = burst;
  }

  setRate(perS: number, burst: number): void {
    this.perS = perS;
    this.burst = burst;
  }

  /** Takes a token if there is one. */
  tryTake(monoMs: number): boolean {
    const elapsedS = Math.max(0, monoMs - (this.#filledMs ?? monoMs)) / 1_000;
    this.#tokens = Math.min(this.burst, this.#tokens + elapsedS * this.perS);
    this.#filledMs = monoMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
