/**
 * The watch loop: one blocking query on the catalog side, user events, and the pins in KV; everything read goes
 * through the intake. Reads are spaced by the cadence, so that N sidecars do not cost the servers N².
 */
import { EVENT_NAME, META_SEALED } from "../beacon/documents.js";
import { BEACON, keyIn } from "../beacon/envelope.js";
import type { Followed, PinBook } from "../beacon/pins.js";
import type { Registry } from "../beacon/registry.js";
import type { Backoff } from "./backoff.js";
import { learnPins, livenessOf, readInstances, takeIn } from "./catalog.js";
import type { Clock } from "./clock.js";
import { type ConsulApi, ConsulError, type Read, type ServiceInstance, type UserEvent } from "./consul-api.js";
import type { Intake } from "./intake.js";
import type { RotationReader } from "./rotation-reader.js";

export interface WatchObserver {
  /** One outcome for each read: undefined, or why it failed. */
  catalogRead(error: unknown): void;
  /** How old the answer may be, as the server says it. */
  lastContact(ms: number | null): void;
  pinsRead(error: unknown): void;
  /** Pins moved along their nodes' rotations, or found a key that was rotated twice. */
  followed(followed: Followed): void;
  swept(expired: readonly string[], forgotten: readonly string[]): void;
}

/** Well under the 10 min that Consul allows, so that a half-open connection is noticed. Our own heartbeat changes the catalog anyway. */
const BLOCK_MS = 60_000;

export class Watcher {
  #sidecars: ReadonlyMap<string, boolean> = new Map();
  #filled = false;
  #pinsAtMs = Number.NEGATIVE_INFINITY;
  /** By node: the text in its meta that was looked at for its key. */
  readonly #looked = new Map<string, string>();

  constructor(
    private readonly deps: {
      consul: ConsulApi;
      clock: Clock;
      backoff: Backoff;
      registry: Registry;
      pins: PinBook;
      rotations: RotationReader;
      intake: Intake;
      observer: WatchObserver;
      datacenter: () => string | undefined;
      minReadMs: () => number;
      heartbeatMs: () => number;
    },
  ) {}

  /** Node names that run a sidecar, and whether it is alive, as read last. */
  get sidecars(): ReadonlyMap<string, boolean> {
    return this.#sidecars;
  }

  /** Whether the catalog was read once. */
  get filled(): boolean {
    return this.#filled;
  }

  /** Takes in a user event's payload; events name no node and may come from anybody. */
  onEvent(event: UserEvent): void {
    const datacenter = this.deps.datacenter();
    if (event.name === EVENT_NAME && datacenter !== undefined) this.deps.intake.accept(event.payload, { carrier: "event", datacenter });
  }

  /** Reads the catalog until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, backoff, observer } = this.deps;
    let index: string | undefined;
    while (!signal.aborted) {
      const datacenter = this.deps.datacenter();
      if (datacenter === undefined) {
        await clock.sleep(200, signal);
        continue;
      }
      const startedMs = clock.monoMs();
      try {
        const read = await this.#readCatalog(index, signal);
        index = nextIndex(index, read.index);
        await this.#learnPins(datacenter, read.value, signal);
        await takeIn(read.value, datacenter, this.deps.registry, this.deps.intake);
        this.#sidecars = livenessOf(read.value);
        for (const node of this.#looked.keys()) if (!this.#sidecars.has(node)) this.#looked.delete(node);
        this.#filled = true;
        backoff.reset();
        observer.catalogRead(undefined);
        observer.lastContact(read.lastContactMs);
      } catch (error) {
        if (signal.aborted) return;
        index = undefined;
        observer.catalogRead(error);
        await clock.sleep(backoff.next(), signal);
      }
      this.sweep();
      await clock.sleep(this.deps.minReadMs() - (clock.monoMs() - startedMs), signal);
    }
  }

  /** Also called on every beat: records end on time although the catalog is quiet. */
  sweep(): void {
    const { registry, clock, observer } = this.deps;
    const { expired, forgotten } = registry.sweep(clock.monoMs());
    if (expired.length + forgotten.length > 0) observer.swept(expired, forgotten);
  }

  /** After a gap in the events: what they said stands in the catalog too. */
  async resync(signal: AbortSignal): Promise<void> {
    const datacenter = this.deps.datacenter();
    if (datacenter === undefined) return;
    const { value } = await this.#readCatalog(undefined, signal);
    await takeIn(value, datacenter, this.deps.registry, this.deps.intake);
  }

  async #readCatalog(index: string | undefined, signal: AbortSignal): Promise<Read<ServiceInstance[]>> {
    const plain = { consistency: "stale", signal } as const;
    if (index === undefined) return readInstances(this.deps.consul, plain);
    const read = await readInstances(this.deps.consul, { ...plain, index, waitMs: Math.min(BLOCK_MS, this.deps.heartbeatMs()) });
    const present = new Set(read.value.map(({ node }) => node));
    // A blocking answer comes from Consul's streaming, which leaves out what the token may not read and does not say so.
    const hasLost = [...this.#sidecars.keys()].some((node) => !present.has(node));
    return hasLost ? readInstances(this.deps.consul, plain) : read;
  }

  /** Pins change seldom: read when a node or its key is new to us, and each heartbeat to notice a rewritten one. */
  async #learnPins(datacenter: string, instances: readonly ServiceInstance[], signal: AbortSignal): Promise<void> {
    const { consul, clock, pins, rotations, observer, heartbeatMs } = this.deps;
    const isNew = instances.filter((instance) => this.#showsNewKey(instance, datacenter)).length > 0;
    if (!isNew && clock.monoMs() - this.#pinsAtMs < heartbeatMs()) return;
    try {
      const followed = await learnPins(consul, datacenter, { pins, rotations }, { consistency: "stale", signal });
      this.#pinsAtMs = clock.monoMs();
      observer.pinsRead(undefined);
      observer.followed(followed);
    } catch (error) {
      if (signal.aborted || !(error instanceof ConsulError)) throw error;
      observer.pinsRead(error); // without them a new key is trusted on first use, as the mode says
    }
  }

  /** What the meta names, not verified: it says what to read, never what to believe. */
  #showsNewKey({ node, meta }: ServiceInstance, datacenter: string): boolean {
    const text = meta[META_SEALED] ?? "";
    if (this.#looked.get(node) === text) return false;
    this.#looked.set(node, text);
    if (!this.#sidecars.has(node)) return true;
    const key = keyIn(BEACON, Buffer.from(text, "base64"));
    return key !== null && this.deps.pins.judge(node, datacenter, Buffer.from(key).toString("hex")).kind === "pin-conflict";
  }
}

/** Consul's rule for blocking queries: an index that went backwards or is not positive starts over. */
function nextIndex(before: string | undefined, now: string): string | undefined {
  const value = BigInt(/^\d+$/.test(now) ? now : "0");
  return value < 1n || (before !== undefined && value < BigInt(before)) ? undefined : now;
}
