/**
 * Counts of the kernel, which begin anew whenever it is asked anew, to totals that only grow: of each allocation, of its share
 * with each peer, and of peers' allocations. Each read also tells what was added since the one before. Pure.
 */
import { addTraffic } from "../../beacon/proof-record.js";
import type { Traffic } from "../../beacon/record.js";
import type { Carried } from "../../beacon/usage-record.js";
import { type Counted, type Counter, counterId } from "./counters.js";

/** Of allocations that are over. */
const KEPT_TOTALS = 1_000;

/** Since the read before. */
export interface Added extends Carried {
  of: Counted["of"];
  /** How long it was counted; only of allocations here. */
  meteredMs: number;
}

export class TrafficAccounts {
  #counted: readonly Counted[] = [];
  /** By counter: what the kernel said last. */
  readonly #last = new Map<string, number>();
  /** In the order in which they were counted last. */
  readonly #totals = new Map<string, Traffic>();
  /** Monotonic; undefined before the first read, and after one that failed. */
  #readAtMs: number | undefined;

  /** By allocation of this node, since this process began. */
  get totals(): ReadonlyMap<string, Traffic> {
    return this.#totals;
  }

  get counters(): Counter[] {
    return this.#counted.flatMap(({ counters }) => counters);
  }

  /** From the next read on. What is not followed any more keeps its total for who asks later, among the newest of them. */
  follow(counted: readonly Counted[]): void {
    this.#counted = counted;
    const ids = new Set(this.counters.map(counterId));
    for (const id of this.#last.keys()) if (!ids.has(id)) this.#last.delete(id);
    const surplus = this.#totals.size - counted.length - KEPT_TOTALS;
    for (const allocation of [...this.#totals.keys()].slice(0, Math.max(0, surplus))) this.#totals.delete(allocation);
  }

  /** `counts`: of the kernel, by counterId. What it does not have was not counted. */
  take(counts: ReadonlyMap<string, number>, monoMs: number): Added[] {
    const elapsedMs = this.#readAtMs === undefined ? 0 : Math.max(0, Math.round(monoMs - this.#readAtMs));
    this.#readAtMs = monoMs;
    const added = this.#counted.flatMap(({ of, counters }): Added[] => {
      if (!counters.every((counter) => counts.has(counterId(counter)))) return [];
      const known = counters.every((counter) => this.#last.has(counterId(counter)));
      const sum = (direction: "in" | "out") =>
        counters.reduce((bytes, counter) => (counter.direction === direction ? bytes + this.#growth(counterId(counter), counts) : bytes), 0);
      // Counted from the first read on at which the kernel had it: how long before that is not known.
      return [{ of, bytesIn: sum("in"), bytesOut: sum("out"), meteredMs: known ? elapsedMs : 0 }];
    });
    for (const counter of this.counters) {
      const now = counts.get(counterId(counter));
      if (now !== undefined) this.#last.set(counterId(counter), now);
    }
    for (const { of, ...more } of added) if ("allocation" in of && of.peer === undefined) this.#add(of.allocation.id, more);
    return added;
  }

  /** The table is gone: what it counted since the last read is lost, and counting begins anew. */
  lost(): void {
    this.#last.clear();
    this.#readAtMs = undefined;
  }

  #growth(id: string, counts: ReadonlyMap<string, number>): number {
    const [before, now] = [this.#last.get(id) ?? 0, counts.get(id) ?? 0];
    return now >= before ? now - before : now;
  }

  #add(allocation: string, more: Traffic): void {
    const sum = addTraffic(this.#totals.get(allocation), more) ?? more;
    this.#totals.delete(allocation);
    this.#totals.set(allocation, sum);
  }
}
