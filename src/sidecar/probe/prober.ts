/**
 * The prober as the main thread sees it: a worker that probes and reflects, started anew with
 * backoff when it dies, with the settings and peers it had.
 *
 *   stopped ──start──▶ starting ──ready──▶ running ──stop──▶ stopped
 *                         ▲ └─cannot bind, first time─▶ stopped (start rejects)
 *                         └───backoff─── waiting ◀──died── running
 */
import { Worker } from "node:worker_threads";
import type { FromWorker, ProbePeers, ProbeReport, TargetSample, ToWorker, WorkerStart } from "./prober-messages.js";
import type { ProbeTimers } from "./probe-clock.js";
import type { ProbeEndpoint, ProbeSettings } from "./probe-settings.js";

export interface ProberParts {
  timers: ProbeTimers;
  /** In order of arrival, a few at a time. */
  onSamples(samples: TargetSample[]): void;
  onReport(report: ProbeReport): void;
  /** The worker is gone and comes back in `respawnMs`. Sessions, windows and counters start anew. */
  onCrash(error: Error, respawnMs: number): void;
  /** Another worker than worker.ts, for tests. */
  workerUrl?: URL;
}

/** Where the reflector could not bind, `code` is the system's (EADDRINUSE, EACCES, …). */
export class ProberError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = "ProberError";
  }
}

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;
/** A worker that does not end by itself is ended. */
const STOP_DEADLINE_MS = 2000;

export class Prober {
  /** How often the worker was started again after it died. */
  respawns = 0;
  private listening: ProbeEndpoint[] = [];
  private peers: ProbePeers = { targets: [], senders: [] };
  private worker: Worker | undefined;
  private backoffMs = FIRST_BACKOFF_MS;
  private cancelRespawn: (() => void) | undefined;
  private stopping: (() => void) | undefined;
  private wanted = false;

  constructor(
    private settings: ProbeSettings,
    private readonly parts: ProberParts,
  ) {}

  /** Where the reflector listens now; empty while the worker is away. */
  get endpoints(): readonly ProbeEndpoint[] {
    return this.listening;
  }

  /** Resolves when the worker has bound its sockets; rejects with ProberError, nothing left running. */
  async start(): Promise<readonly ProbeEndpoint[]> {
    if (this.wanted) return this.listening;
    this.wanted = true;
    await new Promise<void>((resolve, reject) => {
      this.spawn(resolve, (error) => {
        this.wanted = false;
        reject(error);
      });
    });
    return this.listening;
  }

  /** The last samples and a last report come before it resolves. */
  async stop(): Promise<void> {
    this.wanted = false;
    this.cancelRespawn?.();
    const { worker } = this;
    if (worker === undefined) return;
    const cancelDeadline = this.parts.timers.after(STOP_DEADLINE_MS, () => void worker.terminate());
    await new Promise<void>((resolve) => {
      this.stopping = resolve;
      this.post({ type: "stop" });
    });
    cancelDeadline();
  }

  setPeers(peers: ProbePeers): void {
    this.peers = peers;
    this.post({ type: "peers", peers });
  }

  /** New listening addresses that cannot be bound count as a crash: `onCrash`, then another try. */
  setSettings(settings: ProbeSettings): void {
    this.settings = settings;
    this.post({ type: "settings", settings });
  }

  private post(message: ToWorker): void {
    this.worker?.postMessage(message);
  }

  private spawn(onReady?: () => void, onFirstFailure?: (error: Error) => void): void {
    const data: WorkerStart = { settings: this.settings, ...this.peers };
    const worker = new Worker(this.parts.workerUrl ?? new URL("./worker.js", import.meta.url), { workerData: data });
    this.worker = worker;
    let ready = false;
    let failure: Error | undefined;
    worker.on("message", (message: FromWorker) => {
      if (message.type === "ready") {
        ready = true;
        this.listening = message.listening;
        onReady?.();
      } else if (message.type === "samples") this.parts.onSamples(message.samples);
      else if (message.type === "report") {
        // A worker that lives long enough to report is well.
        this.backoffMs = FIRST_BACKOFF_MS;
        this.parts.onReport(message.report);
      } else if (message.type === "failed") failure = new ProberError(message.code, message.message);
    });
    worker.on("error", (error) => (failure = error));
    worker.on("exit", (code) => {
      this.worker = undefined;
      this.listening = [];
      if (this.stopping !== undefined) {
        this.stopping();
        this.stopping = undefined;
        return;
      }
      const error = failure ?? new ProberError("EXITED", `the probe worker ended with code ${code}`);
      if (!ready && onFirstFailure !== undefined) onFirstFailure(error);
      else if (this.wanted) this.respawn(error);
    });
  }

  private respawn(error: Error): void {
    const delayMs = this.backoffMs;
    this.backoffMs = Math.min(LONGEST_BACKOFF_MS, delayMs * 2);
    this.cancelRespawn = this.parts.timers.after(delayMs, () => {
      this.respawns += 1;
      this.spawn();
    });
    this.parts.onCrash(error, delayMs);
  }
}
