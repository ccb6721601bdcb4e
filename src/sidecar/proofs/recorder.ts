/**
 * Proofs of what ran on this node: looks at its allocations every `sampleMs`, adds to the chain of each, and offers the
 * newest segments to the root. Never rejects: an allocation whose chain cannot be gone on with is left, with an error in the log.
 */
import type { KeyAdmission } from "../../beacon/keys.js";
import { referenceTo } from "../../beacon/proof-record.js";
import type { ProofReference, Traffic } from "../../beacon/record.js";
import type { Clock } from "../clock.js";
import type { AllocationRun, NomadRuns } from "../nomad-runs.js";
import { AllocationChain, type Kept, type Signing } from "./allocation-chain.js";
import type { RootPublisher } from "./root-publisher.js";

/** Chains on the disk. Those that Nomad has forgotten too go first, and only those: a chain begun anew would be a fork. */
export const KEPT_CHAINS = 500;

export interface RecorderDeps {
  runs: NomadRuns;
  /** Of the Nomad client on this machine; undefined where there is none, or it does not answer. */
  nomadNode: (consulNode: string, signal: AbortSignal) => Promise<string | undefined>;
  /** Undefined while this node has no name in a cluster, or another process speaks by its key. */
  signing: () => Signing | undefined;
  /** Sealed; undefined where it is not there any more. */
  decision: (id: string, signal: AbortSignal) => Promise<Uint8Array | undefined>;
  trust: { keys: KeyAdmission; isOwnKey: (hex: string) => boolean };
  folder: {
    list(): { allocation: string; changedAtMs: number }[];
    read(allocation: string): Kept | null;
    write(allocation: string, kept: Kept): void;
    remove(allocation: string): void;
  };
  root: RootPublisher;
  /** By allocation, what was counted since this process began; of none where nothing counts. Never rejects. */
  traffic: (signal: AbortSignal) => Promise<ReadonlyMap<string, Traffic>>;
  clock: Pick<Clock, "nowMs" | "monoMs" | "sleep">;
  sampleMs: number;
  /** Of a look at which something was sealed, how long signing and keeping it took. */
  onSealed: (elapsedMs: number) => void;
  logger: { error(fields: object, message: string): void };
}

export class ProofRecorder {
  readonly #chains = new Map<string, AllocationChain>();
  readonly #told = new Map<string, string>();
  /** By allocation: what its chain was told of. */
  readonly #carried = new Map<string, Traffic>();

  constructor(private readonly deps: RecorderDeps) {}

  /** Until the signal aborts; then what was sampled is sealed. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, sampleMs, root } = this.deps;
    while (!signal.aborted) {
      const signing = this.deps.signing();
      if (signing !== undefined) {
        await this.#look(signing.node, signal).catch((error: unknown) => this.#tell("", error, signal));
        await root.offer(signing, signal);
      }
      await clock.sleep(sampleMs, signal);
    }
    const signing = this.deps.signing();
    if (signing !== undefined) for (const [allocation, chain] of this.#chains) this.#change(allocation, chain, () => chain.flush(clock.nowMs(), signing));
  }

  /** Of an allocation that runs here. */
  proofOf(allocation: string): ProofReference | undefined {
    const newest = this.#chains.get(allocation)?.newest;
    return newest === undefined ? undefined : referenceTo(newest);
  }

  async #look(node: string, signal: AbortSignal): Promise<void> {
    const nodeId = await this.deps.nomadNode(node, signal);
    if (nodeId === undefined) return;
    const runs = await this.deps.runs.runs(nodeId, { signal });
    this.#told.delete("");
    const traffic = await this.deps.traffic(signal);
    for (const run of runs) await this.#record(run, traffic.get(run.id), signal);
    const listed = new Set(runs.map(({ id }) => id));
    for (const allocation of this.#chains.keys()) if (!listed.has(allocation)) this.#chains.delete(allocation);
    for (const allocation of this.#carried.keys()) if (!listed.has(allocation)) this.#carried.delete(allocation);
    this.#prune(listed);
  }

  async #record(run: AllocationRun, counted: Traffic | undefined, signal: AbortSignal): Promise<void> {
    const chain = this.#chainOf(run.id);
    if (chain === undefined || chain.ended) return;
    // Without a figure the time is not covered: the next sample, or the end, tells how long nobody looked.
    const usage = run.clientStatus === "running" ? await this.deps.runs.usage(run.id, { signal }).catch(() => undefined) : undefined;
    if (run.decisionId !== undefined && !chain.hasDecision) {
      const decision = await this.deps.decision(run.decisionId, signal).catch(() => undefined); // without Consul: at the next look
      if (decision !== undefined) chain.takeDecision(decision);
    }
    const signing = this.deps.signing(); // the key may have changed meanwhile
    if (signing === undefined || signal.aborted) return;
    const traffic = since(this.#carried.get(run.id), counted);
    if (counted !== undefined) this.#carried.set(run.id, counted);
    this.#change(run.id, chain, () => chain.see(run, usage, this.deps.clock.nowMs(), signing, traffic));
  }

  #chainOf(allocation: string): AllocationChain | undefined {
    const known = this.#chains.get(allocation);
    if (known !== undefined) return known;
    const { folder, sampleMs, trust } = this.deps;
    try {
      const chain = new AllocationChain(sampleMs, folder.read(allocation), trust, (kept) => folder.write(allocation, kept));
      this.#chains.set(allocation, chain);
      return chain;
    } catch (error) {
      this.#tell(allocation, error);
      return undefined;
    }
  }

  /** What is on the disk after a failed write nobody knows, so it is read again. */
  #change(allocation: string, chain: AllocationChain, change: () => void): void {
    const { root, onSealed, clock } = this.deps;
    const [before, startedMs] = [chain.newest, clock.monoMs()];
    try {
      change();
      if (chain.newest !== before) onSealed(clock.monoMs() - startedMs);
      if (chain.newest !== undefined) root.take(allocation, chain.newest.hash);
      this.#told.delete(allocation);
    } catch (error) {
      this.#chains.delete(allocation);
      this.#tell(allocation, error);
    }
  }

  #prune(listed: ReadonlySet<string>): void {
    const { folder, root } = this.deps;
    const kept = folder.list();
    const gone = kept.filter(({ allocation }) => !listed.has(allocation)).sort((a, b) => a.changedAtMs - b.changedAtMs);
    for (const { allocation } of gone.slice(0, Math.max(0, kept.length - KEPT_CHAINS))) {
      folder.remove(allocation);
      root.drop(allocation);
    }
  }

  /** Once for each reason. */
  #tell(allocation: string, error: unknown, signal?: AbortSignal): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (signal?.aborted === true || this.#told.get(allocation) === reason) return;
    this.#told.set(allocation, reason);
    this.deps.logger.error({ reason, ...(allocation === "" ? {} : { allocation }) }, "what runs here is not proved");
  }
}

function since(before: Traffic | undefined, now: Traffic | undefined): Traffic | undefined {
  if (before === undefined || now === undefined) return now;
  return { bytesIn: now.bytesIn - before.bytesIn, bytesOut: now.bytesOut - before.bytesOut, meteredMs: now.meteredMs - before.meteredMs };
}
