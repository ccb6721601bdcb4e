/**
 * Runs one WebAssembly policy over batches of candidates, in a worker of its own: a module that loops, traps or grows
 * costs its caller an error and never the event loop. Compiled once in a worker's life, a fresh instance for each batch,
 * so that no batch can tell the next one anything. Past the deadline the worker is terminated; the next call starts
 * another. What an error means is the caller's: enforce takes it as no (evaluation of wasm policies, docs/policy-wasm.md).
 */
import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { WasmCandidate, WasmVerdict } from "./wasm-candidate.js";
import { inspectModule, WASM_LIMITS, type WasmLimits, type WasmProfile } from "./wasm-module.js";
import type { WasmAnswer, WasmRequest } from "./wasm-worker.js";

export type WasmFault =
  | "refused" // not a module that may run: never compiled
  | "no-start" // it did not compile, lacks an export, or its start function trapped
  | "deadline"
  | "trap" // unreachable, out of memory, stack overflow, opa_abort
  | "bad-answer"; // a pointer, a count or a verdict that the ABI does not have

/** A policy that gave no verdicts. */
export class WasmPolicyError extends Error {
  override readonly name = "WasmPolicyError";
  constructor(
    readonly fault: WasmFault,
    readonly detail: string,
  ) {
    super(`policy module ${fault}: ${detail}`);
  }
}

export interface WasmHostObserver {
  /** A batch that ended, whatever its end. */
  evaluated(elapsedMs: number, fault: WasmFault | undefined): void;
  killed(): void;
}

export interface WasmHostOptions {
  /** For one batch, the first of a worker including its compilation. */
  deadlineMs: number;
  limits: WasmLimits;
  observer: WasmHostObserver;
}

const SILENT: WasmHostObserver = { evaluated: () => {}, killed: () => {} };
const DEFAULTS: WasmHostOptions = { deadlineMs: 1_000, limits: WASM_LIMITS, observer: SILENT };
/** Of the worker's own JavaScript; the module's memory is bounded by inspectModule. */
const WORKER_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 1 };

export class WasmHost {
  /** Lower-case hex SHA-256 of the module. */
  readonly hash: string;
  readonly #options: WasmHostOptions;
  readonly profile: WasmProfile;
  #worker: Worker | undefined;
  /** Batches run one after another. */
  #last: Promise<unknown> = Promise.resolve();

  /** Throws WasmPolicyError `refused`. Starts nothing. */
  constructor(
    private readonly module: Uint8Array,
    options: Partial<WasmHostOptions> = {},
  ) {
    this.#options = { ...DEFAULTS, ...options };
    const verdict = inspectModule(module, this.#options.limits);
    if (!verdict.ok) throw new WasmPolicyError("refused", verdict.detail);
    this.profile = verdict.profile;
    this.hash = createHash("sha256").update(module).digest("hex");
  }

  /** One verdict for each candidate, in their order. Rejects with WasmPolicyError. */
  evaluate(candidates: readonly WasmCandidate[]): Promise<WasmVerdict[]> {
    const turn = this.#last.then(() => this.#run(candidates));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async #run(candidates: readonly WasmCandidate[]): Promise<WasmVerdict[]> {
    const startedMs = performance.now();
    const ended = (fault?: WasmFault) => this.#options.observer.evaluated(performance.now() - startedMs, fault);
    try {
      const verdicts = await this.#ask(candidates);
      ended();
      return verdicts;
    } catch (error) {
      ended(error instanceof WasmPolicyError ? error.fault : "trap");
      throw error;
    }
  }

  #ask(candidates: readonly WasmCandidate[]): Promise<WasmVerdict[]> {
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        worker.off("message", onMessage).off("error", onError).off("exit", onExit);
        worker.unref();
      };
      const lose = (fault: WasmFault, detail: string): void => {
        settle();
        this.#worker = undefined; // a fresh one next time: after a fault nothing of it is kept
        worker.on("error", () => {}); // what it still says has nobody to go to
        void worker.terminate();
        reject(new WasmPolicyError(fault, detail));
      };
      const onError = (error: Error): void => lose("trap", error.message);
      const onExit = (code: number): void => lose("trap", `its worker ended with code ${String(code)}`);
      const onMessage = (answer: WasmAnswer): void => {
        if (!answer.ok) return lose(answer.fault, answer.detail);
        settle();
        resolve(answer.verdicts);
      };
      const timer = setTimeout(() => {
        this.#options.observer.killed();
        lose("deadline", `no answer within ${String(this.#options.deadlineMs)} ms`);
      }, this.#options.deadlineMs);
      worker.once("message", onMessage).once("error", onError).once("exit", onExit);
      worker.postMessage({ candidates } satisfies WasmRequest);
    });
  }

  #start(): Worker {
    return new Worker(new URL("./wasm-worker.js", import.meta.url), {
      workerData: { module: this.module, profile: this.profile, memoryPages: this.#options.limits.memoryPages },
      resourceLimits: WORKER_LIMITS,
      env: {},
      execArgv: [],
      stdin: false,
    });
  }
}
