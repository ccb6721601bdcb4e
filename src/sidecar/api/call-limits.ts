/**
 * How many calls a client, known by its certificate or its address, may have under way and begin in a second, and how
 * many there are in all. What is over is refused before its message is read.
 */
import type { Clock } from "../clock.js";
import { TokenBucket } from "../token-bucket.js";

export interface CallBudget {
  open: number;
  openPerClient: number;
  perS: number;
  burst: number;
  /** For a client to send its request, and again to take its answer; then its connection is cut. Work in between is not counted. */
  callMs: number;
}

/** A message may be a megabyte, a listing of 10,000 nodes 25: `open` bounds what slow clients make this process hold. */
export const CALL_BUDGET: CallBudget = { open: 32, openPerClient: 16, perS: 50, burst: 100, callMs: 60_000 };

/** Clients remembered for their rate; the one that was quiet for longest is forgotten. */
const MAX_CLIENTS = 1_024;

export class CallLimits {
  readonly #clients = new Map<string, { bucket: TokenBucket; open: number }>();
  #open = 0;

  constructor(
    readonly budget: CallBudget,
    private readonly clock: Pick<Clock, "monoMs">,
  ) {}

  /** Call `end` once, when the call is over. Undefined: refused. */
  begin(name: string): { end: () => void } | undefined {
    const client = this.#clients.get(name) ?? { bucket: new TokenBucket(this.budget.perS, this.budget.burst), open: 0 };
    this.#clients.delete(name);
    this.#clients.set(name, client);
    if (this.#clients.size > MAX_CLIENTS) this.#forgetOne();
    if (this.#open >= this.budget.open || client.open >= this.budget.openPerClient || !client.bucket.tryTake(this.clock.monoMs())) return undefined;
    this.#open += 1;
    client.open += 1;
    let ended = false;
    return {
      end: () => {
        if (ended) return;
        ended = true;
        this.#open -= 1;
        client.open -= 1;
      },
    };
  }

  #forgetOne(): void {
    for (const [name, { open }] of this.#clients) {
      if (open > 0) continue;
      this.#clients.delete(name);
      return;
    }
  }
}
