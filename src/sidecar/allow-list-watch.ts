/**
 * Keeps the reader's allow-list the newest that it can have: from its own disk, from the file of --allow-list, and from
 * KV with a blocking query on the one key. Which list is newer, and whose counts, is beacon/allow-list.ts.
 */
import type { AllowListBook, ListRefusal } from "../beacon/allow-list.js";
import { allowListDocument } from "../beacon/allow-list.js";
import { allowListKey } from "../beacon/documents.js";
import type { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";
import type { ConsulApi } from "./consul-api.js";

export type ListSource = "disk" | "file" | "kv";

export interface AllowListObserver {
  taken(source: ListSource, list: NonNullable<AllowListBook["held"]>): void;
  refused(source: ListSource, refusal: ListRefusal): void;
  /** Of KV; undefined is a success. */
  read(error: unknown): void;
  /** The list counts, and will not be known after a restart. */
  unkept(error: unknown): void;
}

/** Well under the 10 min that Consul allows, so that a half-open connection is noticed; the file is read as often. */
const BLOCK_MS = 60_000;

export class AllowListWatch {
  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "kvGet">;
      clock: Clock;
      backoff: Backoff;
      lists: AllowListBook;
      /** The newest list seen before, on this reader's own disk: what a replayed older one is held against. */
      disk: { read(): string | null; write(document: string): void };
      /** Null where there is none. */
      file: () => Uint8Array | null;
      observer: AllowListObserver;
      datacenter: () => string | undefined;
      minReadMs: () => number;
    },
  ) {}

  /** Reads until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { consul, clock, backoff, disk, file, observer } = this.deps;
    let index: string | undefined;
    let datacenter: string | undefined;
    while (!signal.aborted) {
      const before = datacenter;
      datacenter = this.deps.datacenter();
      if (datacenter === undefined) {
        await clock.sleep(200, signal);
        continue;
      }
      const startedMs = clock.monoMs();
      if (before !== datacenter) this.#offerRead("disk", () => textBytes(disk.read()), datacenter);
      this.#offerRead("file", file, datacenter);
      try {
        const read = await consul.kvGet(allowListKey(datacenter), { consistency: "stale", signal, ...(index === undefined ? {} : { index, waitMs: BLOCK_MS }) });
        index = /^[1-9]\d*$/.test(read.index) ? read.index : undefined;
        this.#offer("kv", read.value?.value ?? null, datacenter);
        backoff.reset();
        observer.read(undefined);
      } catch (error) {
        if (signal.aborted) return;
        index = undefined;
        observer.read(error);
        await clock.sleep(backoff.next(), signal);
      }
      await clock.sleep(this.deps.minReadMs() - (clock.monoMs() - startedMs), signal);
    }
  }

  #offerRead(source: ListSource, read: () => Uint8Array | null, datacenter: string): void {
    try {
      this.#offer(source, read(), datacenter);
    } catch (error) {
      this.deps.observer.refused(source, { ok: false, reason: "unreadable", detail: error instanceof Error ? error.message : String(error) });
    }
  }

  #offer(source: ListSource, document: Uint8Array | null, datacenter: string): void {
    if (document === null) return;
    const { lists, observer, disk } = this.deps;
    const offer = lists.offer(document, datacenter);
    if (!offer.ok) return observer.refused(source, offer);
    if (!offer.taken) return;
    observer.taken(source, offer.signed);
    if (source === "disk") return;
    try {
      disk.write(allowListDocument(offer.signed));
    } catch (error) {
      observer.unkept(error);
    }
  }
}

function textBytes(text: string | null): Uint8Array | null {
  return text === null ? null : Buffer.from(text);
}
