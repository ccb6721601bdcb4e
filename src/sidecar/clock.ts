/** Time as the daemon uses it, injected so that tests cross many periods quickly. */
import { setTimeout as delay } from "node:timers/promises";

export interface Clock {
  /** Unix milliseconds: bounds the age of records, nothing else. */
  nowMs(): number;
  /** Milliseconds that only go forward. */
  monoMs(): number;
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monoMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch {
      // aborted: the caller looks at its signal
    }
  },
};
