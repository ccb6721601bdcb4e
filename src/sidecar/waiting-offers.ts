/**
 * Bytes whose key has no verdict yet, to be offered again when it comes. One offer for each place, the newest; an event
 * has no place of its own, so there it is one for each key. Bounded by that and by the keys that may wait (key-judge.ts).
 */
export class WaitingOffers<P> {
  readonly #at = new Map<string, { keyHex: string; bytes: Uint8Array; place: P }>();
  readonly #placesOf = new Map<string, Set<string>>();

  has(at: string): boolean {
    return this.#at.has(at);
  }

  get size(): number {
    return this.#at.size;
  }

  /** Returns the key that nobody waits for any more, if this offer took another one's place. */
  hold(at: string, keyHex: string, bytes: Uint8Array, place: P): string | undefined {
    const before = this.#at.get(at)?.keyHex;
    this.#at.set(at, { keyHex, bytes: Uint8Array.from(bytes), place });
    const places = this.#placesOf.get(keyHex) ?? new Set();
    this.#placesOf.set(keyHex, places.add(at));
    if (before === undefined || before === keyHex) return undefined;
    const left = this.#placesOf.get(before);
    left?.delete(at);
    if (left === undefined || left.size > 0) return undefined;
    this.#placesOf.delete(before);
    return before;
  }

  /** What waited for this key; it waits no longer. */
  take(keyHex: string): { bytes: Uint8Array; place: P }[] {
    const places = [...(this.#placesOf.get(keyHex) ?? [])];
    this.#placesOf.delete(keyHex);
    return places.flatMap((at) => {
      const offer = this.#at.get(at);
      this.#at.delete(at);
      return offer ?? [];
    });
  }
}
