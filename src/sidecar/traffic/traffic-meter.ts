/**
 * What this node carries: follows its allocations and its peers' workloads, has the kernel count, and tells proofs and ledger.
 * Reads come every period, at the end of each of the ledger's, and when an allocation comes or goes. Never rejects: where
 * nothing can be counted nothing is told, which is not 0.
 */
import type { Traffic } from "../../beacon/record.js";
import type { Clock } from "../clock.js";
import type { HealthLog } from "../health-log.js";
import type { NomadRuns, PlacedAllocation } from "../nomad-runs.js";
import { type Added, TrafficAccounts } from "./accounts.js";
import { type Counter, counterId, countersFor, type PeerNode } from "./counters.js";

/** nft-table.ts. */
export interface CountingTable {
  readonly isOpen: boolean;
  open(signal: AbortSignal): Promise<void>;
  read(signal: AbortSignal): Promise<Map<string, number>>;
  change(added: readonly Counter[], removed: readonly Counter[]): void;
  close(): Promise<void>;
}

export interface TrafficMeterDeps {
  table: CountingTable;
  runs: Pick<NomadRuns, "placed">;
  nomadNode: (consulNode: string, signal: AbortSignal) => Promise<string | undefined>;
  /** Undefined before the node joined. */
  self: () => { node: string; address: string } | undefined;
  peers: () => readonly PeerNode[];
  clock: Clock;
  sampleMs: number;
  /** Of the ledger. */
  periodMs: number;
  /** Unix milliseconds; may throw where it could not be kept. */
  onCounted: (added: readonly Added[], fromMs: number, toMs: number) => void;
  /** After each read, whether or not it could be counted. */
  afterRead: (signal: AbortSignal) => Promise<void>;
  onError: (error: unknown) => void;
  health: Pick<HealthLog, "up" | "down">;
}

/** After a table that could not be made. */
const RETRY_MS = 60_000;
const WAIT_MS = 60_000;
/** A task that starts and ends within it is met by no read in between. */
const SETTLE_MS = 50;
const MIN_SLEEP_MS = 20;

export class TrafficMeter {
  readonly #accounts = new TrafficAccounts();
  #allocations: readonly PlacedAllocation[] = [];
  /** In the kernel's sets, as far as it was told. */
  #asked = new Map<string, Counter>();
  #retryAtMs = Number.NEGATIVE_INFINITY;
  #readAtMs: number | undefined;
  #reading: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #changed = false;

  constructor(private readonly deps: TrafficMeterDeps) {}

  get isCounting(): boolean {
    return this.deps.table.isOpen;
  }

  /** By allocation, since this process began. */
  async totals(signal: AbortSignal): Promise<ReadonlyMap<string, Traffic>> {
    await this.#read(signal);
    return this.#accounts.totals;
  }

  /** Until the signal aborts; then what was counted is told, and the kernel counts no more. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watch(signal), this.#loop(signal)]);
    await this.#read(new AbortController().signal);
    await this.deps.table.close();
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { clock, sampleMs, periodMs, afterRead } = this.deps;
    while (!signal.aborted) {
      await this.#read(signal);
      if (this.#changed) {
        this.#changed = false;
        await clock.sleep(SETTLE_MS, signal);
        await this.#read(signal); // the first count of what is new, from which its time is counted
      }
      await afterRead(signal);
      const toEndMs = periodMs - (clock.nowMs() % periodMs);
      await this.#sleep(Math.max(MIN_SLEEP_MS, Math.min(sampleMs, toEndMs)), signal);
    }
  }

  /** Wakes the loop when an allocation comes or goes: its packets are counted from the first one on. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, runs, nomadNode, self, sampleMs } = this.deps;
    let index: string | undefined;
    let nodeId: string | undefined;
    while (!signal.aborted) {
      const startedMs = clock.monoMs();
      try {
        const own = self();
        nodeId ??= own === undefined ? undefined : await nomadNode(own.node, signal);
        if (nodeId !== undefined) {
          const answer = await runs.placed(nodeId, { since: index, waitMs: WAIT_MS }, { signal });
          // An index that went back, or that says nothing, is asked anew.
          index = answer.index !== undefined && Number(answer.index) >= Math.max(1, Number(index ?? 0)) ? answer.index : undefined;
          if (JSON.stringify(answer.allocations) !== JSON.stringify(this.#allocations)) {
            this.#allocations = answer.allocations;
            this.#changed = true;
            this.#wake();
          }
        }
      } catch {
        [index, nodeId] = [undefined, undefined]; // Nomad's absence is told by others; what ran is counted on meanwhile
      }
      const pauseMs = nodeId === undefined ? Math.min(sampleMs, 5_000) : index === undefined ? 1_000 : 200;
      await clock.sleep(Math.max(0, pauseMs - (clock.monoMs() - startedMs)), signal);
    }
  }

  #read(signal: AbortSignal): Promise<void> {
    this.#reading = this.#reading.then(() => this.#readOnce(signal));
    return this.#reading;
  }

  async #readOnce(signal: AbortSignal): Promise<void> {
    const { table, clock, self, health } = this.deps;
    const own = self();
    if (own === undefined) return;
    try {
      if (!table.isOpen) {
        if (clock.monoMs() < this.#retryAtMs) return;
        this.#retryAtMs = clock.monoMs() + RETRY_MS;
        this.#accounts.lost();
        this.#asked.clear();
        this.#readAtMs = undefined;
        await table.open(signal);
        health.up();
      }
      const counts = await table.read(signal);
      // What was asked for and is not there was not taken: it is asked for again.
      for (const id of this.#asked.keys()) if (!counts.has(id)) this.#asked.delete(id);
      this.#tell(this.#accounts.take(counts, clock.monoMs()), clock.nowMs());
    } catch (error) {
      if (!signal.aborted) health.down(error);
      return;
    }
    this.#follow(own.address);
  }

  #tell(added: readonly Added[], nowMs: number): void {
    const { onCounted, onError } = this.deps;
    try {
      onCounted(added, this.#readAtMs ?? nowMs, nowMs);
    } catch (error) {
      onError(error);
    }
    this.#readAtMs = nowMs;
  }

  #follow(address: string): void {
    const counted = countersFor({ address, allocations: this.#allocations, peers: this.deps.peers() });
    const wanted = new Map(counted.flatMap(({ counters }) => counters.map((counter) => [counterId(counter), counter] as const)));
    const added = [...wanted].filter(([id]) => !this.#asked.has(id)).map(([, counter]) => counter);
    const removed = [...this.#asked].filter(([id]) => !wanted.has(id)).map(([, counter]) => counter);
    if (added.length + removed.length > 0) this.deps.table.change(added, removed);
    this.#asked = wanted;
    this.#accounts.follow(counted);
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      if (this.#changed) woken.abort();
      void this.deps.clock.sleep(ms, AbortSignal.any([signal, woken.signal])).then(resolve);
    });
  }
}
