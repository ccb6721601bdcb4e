/**
 * The loop over the agent's user events: each event once, a gap where events were missed, at most one
 * request a second. Written here because the package's watch() takes the index for a number that grows
 * (it is a hash above 2^53) and delivered 13 changes for 8 events. Events are hints: they are lost,
 * doubled and unordered, so a gap asks the owner to read the catalog and KV again.
 */
import type { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";
import type { ConsulApi, UserEvent } from "./consul-api.js";
import { EventWindow } from "./event-window.js";

/** Between the starts of two requests. */
const MIN_INTERVAL_MS = 1_000;
const WAIT_MS = 60_000;

export interface EventFeedDeps {
  consul: Pick<ConsulApi, "events">;
  clock: Pick<Clock, "monoMs" | "sleep">;
  /** Between failed requests. */
  backoff: Backoff;
  /** Each event of the name once, oldest first, those that the ring held at the start included. */
  onEvent: (event: UserEvent) => void;
  /** Events may have been missed: read everything again. Called before the events of that read. */
  onGap: () => void;
  /** `retryInMs` is null where a handler failed: the feed goes on, and the event counts as delivered. */
  onError: (error: unknown, retryInMs: number | null) => void;
}

export interface EventFeedCounts {
  requests: number;
  delivered: number;
  gaps: number;
  errors: number;
}

export class EventFeed {
  readonly #counts: EventFeedCounts = { requests: 0, delivered: 0, gaps: 0, errors: 0 };
  readonly #window = new EventWindow();
  #nextRequestMs = -Infinity;

  constructor(
    private readonly deps: EventFeedDeps,
    /** Of the events that are delivered; the ring is read unfiltered, which alone shows an overrun. */
    private readonly name: string,
  ) {}

  get counts(): Readonly<EventFeedCounts> {
    return this.#counts;
  }

  /** Resolves when the signal aborts, and not before; rejects only with what `onError` throws. */
  async run(signal: AbortSignal): Promise<void> {
    let index: string | undefined;
    while (!signal.aborted) {
      await this.#awaitTurn(signal);
      if (signal.aborted) return;
      try {
        index = await this.#poll(index, signal);
        this.deps.backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        // Whoever answers next may be another agent: ask without waiting for its index to move.
        index = undefined;
        const retryInMs = this.deps.backoff.next();
        this.#counts.errors += 1;
        this.deps.onError(error, retryInMs);
        await this.deps.clock.sleep(retryInMs, signal);
      }
    }
  }

  async #awaitTurn(signal: AbortSignal): Promise<void> {
    const { clock } = this.deps;
    const waitMs = Math.ceil(this.#nextRequestMs - clock.monoMs());
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    this.#nextRequestMs = clock.monoMs() + MIN_INTERVAL_MS;
  }

  /** The index for the next request; undefined asks for an answer at once. */
  async #poll(index: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    this.#counts.requests += 1;
    const blocking = index === undefined ? {} : { index, waitMs: WAIT_MS };
    const read = await this.deps.consul.events("", { signal, ...blocking });
    if (signal.aborted) return undefined;
    const { fresh, gap } = this.#window.take(read.value);
    if (gap) {
      this.#counts.gaps += 1;
      this.#handle(() => this.deps.onGap());
    }
    for (const event of fresh) {
      if (event.name !== this.name) continue;
      this.#counts.delivered += 1;
      this.#handle(() => this.deps.onEvent(event));
    }
    return isIndex(read.index) ? read.index : undefined;
  }

  #handle(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.deps.onError(error, null);
    }
  }
}

/** 1 to 2^64 − 1. With anything else Consul would answer at once, or refuse. */
function isIndex(text: string): boolean {
  return /^[1-9]\d{0,19}$/.test(text) && BigInt(text) < 2n ** 64n;
}
