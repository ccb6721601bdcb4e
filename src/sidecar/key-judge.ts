/**
 * New keys on their way to a verdict. The torsion check takes milliseconds, so it is made in another thread
 * (key-check-thread.ts), and until it is made nothing signed by the key is believed or rejected. Two queues, both
 * bounded: keys that stand at a node's own place, where Consul's ACLs decide who writes, go first; keys that only a
 * user event named, which anybody with the gossip key can invent, follow at a few a second. So a flood of invented keys
 * costs a few checks a second, and evicts no honest key from the verdicts, each of which is used once in a heartbeat.
 */
import type { KeyAdmission, KeyFault } from "../beacon/keys.js";
import type { Clock } from "./clock.js";

/** The outcome of a record whose key has no verdict yet: not believed, not rejected. */
export interface KeyWaiting {
  ok: false;
  reason: "key-waiting";
  detail: string;
}
export const KEY_WAITING: KeyWaiting = { ok: false, reason: "key-waiting", detail: "its key is being judged" };

/** `judged`: open() decides at once. `queued`: the verdict will be told. `full`: offer the record again later. */
export type KeyAnswer = "judged" | "queued" | "full";

/** What asks for verdicts, as intake and state reader use it. */
export interface KeyGate {
  /** `placed`: the key stands at the place of a node. */
  ask(key: Uint8Array, placed: boolean): KeyAnswer;
  /** Nobody waits for this key any more. */
  withdraw(keyHex: string): void;
}

/** For short-lived readers: open() judges in place, so there is nothing to wait for. */
export const JUDGED_IN_PLACE: KeyGate = { ask: () => "judged", withdraw: () => {} };

export interface KeyChecker {
  /** One fault, or null, for each key. Rejects where the thread died. */
  check(keys: readonly Uint8Array[]): Promise<(KeyFault | null)[]>;
  /** Ends the thread, also in the middle of a check; the next check starts another. */
  rest(): Promise<void>;
}

export interface KeyJudgeObserver {
  /** After every change. */
  waiting(keys: number): void;
  judged(keyHex: string, fault: KeyFault | null): void;
  failed(error: unknown, retryInMs: number): void;
}

/** One for each node of the largest cluster, twice. */
const MAX_PLACED = 20_000;
/** As many as Consul's ring of events holds. */
const MAX_HINTED = 256;
/** Some 50 ms of checks: news that go first do not wait longer. */
const BATCH = 16;
const HINTED_EVERY_MS = 100;
/** A resting thread takes some megabytes; a new one is there in a tenth of a second. */
const REST_AFTER_MS = 10_000;
const RETRY_MS = 1_000;

export class KeyJudge implements KeyGate {
  readonly #placed = new Map<string, Uint8Array>();
  readonly #hinted = new Map<string, Uint8Array>();
  readonly #underCheck = new Map<string, Uint8Array>();
  #nextHintedMs = Number.NEGATIVE_INFINITY;
  #pause = new AbortController();

  constructor(
    private readonly deps: {
      keys: KeyAdmission;
      checker: KeyChecker;
      clock: Pick<Clock, "monoMs" | "sleep">;
      /** What waits for this key may be opened now. */
      onJudged: (keyHex: string) => void;
      observer: KeyJudgeObserver;
    },
  ) {}

  get waiting(): number {
    return this.#placed.size + this.#hinted.size + this.#underCheck.size;
  }

  ask(key: Uint8Array, placed: boolean): KeyAnswer {
    if (this.deps.keys.known(key) !== undefined) return "judged";
    const hex = Buffer.from(key).toString("hex");
    if (this.#placed.has(hex) || this.#underCheck.has(hex)) return "queued";
    if (this.#hinted.has(hex) && !placed) return "queued";
    const [queue, most] = placed ? [this.#placed, MAX_PLACED] : [this.#hinted, MAX_HINTED];
    if (queue.size >= most) return "full";
    this.#hinted.delete(hex);
    queue.set(hex, Uint8Array.from(key));
    this.#changed();
    return "queued";
  }

  withdraw(keyHex: string): void {
    if (this.#placed.delete(keyHex) || this.#hinted.delete(keyHex)) this.#changed();
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { checker, clock } = this.deps;
    const end = () => {
      this.#pause.abort();
      void checker.rest();
    };
    signal.addEventListener("abort", end, { once: true });
    while (!signal.aborted) {
      const batch = this.#nextBatch();
      if (batch.length > 0) await this.#judge(batch, signal);
      else if (this.#hinted.size > 0) await this.#sleep(this.#nextHintedMs - clock.monoMs());
      else if (!(await this.#sleep(REST_AFTER_MS))) await checker.rest();
    }
  }

  #nextBatch(): [hex: string, key: Uint8Array][] {
    if (this.#placed.size > 0) return [...take(this.#placed, BATCH)];
    if (this.deps.clock.monoMs() < this.#nextHintedMs) return [];
    return [...take(this.#hinted, 1)];
  }

  async #judge(batch: readonly [hex: string, key: Uint8Array][], signal: AbortSignal): Promise<void> {
    const { keys, checker, clock, onJudged, observer } = this.deps;
    const hinted = batch.filter(([hex]) => this.#hinted.delete(hex));
    if (hinted.length > 0) this.#nextHintedMs = clock.monoMs() + HINTED_EVERY_MS;
    for (const [hex, key] of batch) {
      this.#placed.delete(hex);
      this.#underCheck.set(hex, key);
    }
    try {
      const faults = await checker.check(batch.map(([, key]) => key));
      batch.forEach(([hex, key], at) => {
        const fault = faults[at] ?? null;
        keys.settle(key, fault === null);
        this.#underCheck.delete(hex);
        observer.judged(hex, fault);
        onJudged(hex);
      });
      observer.waiting(this.waiting);
    } catch (error) {
      this.#underCheck.clear();
      for (const [hex, key] of batch) (hinted.length > 0 ? this.#hinted : this.#placed).set(hex, key);
      if (signal.aborted) return;
      observer.failed(error, RETRY_MS);
      await clock.sleep(RETRY_MS, signal);
    }
  }

  #changed(): void {
    this.deps.observer.waiting(this.waiting);
    this.#pause.abort();
  }

  /** Whether something came up before the time was over. */
  async #sleep(ms: number): Promise<boolean> {
    this.#pause = new AbortController();
    await this.deps.clock.sleep(ms, this.#pause.signal);
    return this.#pause.signal.aborted;
  }
}

function* take<K, V>(map: ReadonlyMap<K, V>, most: number): Generator<[K, V]> {
  let taken = 0;
  for (const entry of map) {
    if (taken++ >= most) return;
    yield entry;
  }
}
