/**
 * What is new in the agent's ring of user events, and whether something was missed. The ring holds the
 * last 256 events of all names in the order in which they came and is always read whole; events repeat
 * and are told apart by ID only (their index is a hash, their Lamport time is shared by several).
 *
 *   read n     [ a b c d ]          d is still there in read n+1: nothing was missed between
 *   read n+1       [ c d e f ]
 *   read n+2             [ … ]      none of c d e f is there: the ring was overrun, or the agent restarted
 */
import type { UserEvent } from "./consul-api.js";

/** Of a Consul agent (agent/agent.go, eventBuf). */
export const RING_SIZE = 256;
/** IDs remembered: eight rings, some 200 KB. */
const DEFAULT_WINDOW = 8 * RING_SIZE;

export class EventWindow {
  /** In the order in which they were last in the ring. */
  readonly #seen = new Set<string>();
  /** IDs of the last read; null before the first. */
  #ring: ReadonlySet<string> | null = null;

  /** `size`: IDs remembered, which is also the longest ring that is looked at. */
  constructor(private readonly size: number = DEFAULT_WINDOW) {
    if (size < RING_SIZE) throw new RangeError(`an event window of ${size} is smaller than the ring of ${RING_SIZE}`);
  }

  /**
   * The events not seen before, oldest first. `gap`: events may have come and gone since the last read.
   * The first read has no gap: what came before the start is the owner's first sync.
   */
  take(events: readonly UserEvent[]): { fresh: UserEvent[]; gap: boolean } {
    const ring = events.slice(-this.size);
    const ids = new Set(ring.map(({ id }) => id));
    const gap = this.#missed(ids);
    this.#ring = ids;
    const fresh: UserEvent[] = [];
    for (const event of ring) {
      // Taken out and put back at the end: what stands in the ring is never forgotten before what does not.
      if (!this.#seen.delete(event.id)) fresh.push(event);
      this.#seen.add(event.id);
    }
    this.#forget();
    return { fresh, gap };
  }

  /** How many IDs are remembered. */
  get remembered(): number {
    return this.#seen.size;
  }

  #missed(ids: ReadonlySet<string>): boolean {
    if (this.#ring === null) return false;
    if (this.#ring.size === 0) return ids.size >= RING_SIZE;
    for (const id of this.#ring) if (ids.has(id)) return false;
    return true;
  }

  #forget(): void {
    for (const id of this.#seen) {
      if (this.#seen.size <= this.size) return;
      this.#seen.delete(id);
    }
  }
}
