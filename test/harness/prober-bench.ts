/** A real prober on loopback whose samples and reports a test can wait for. */
import { once, EventEmitter } from "node:events";
import type { ProbeSample } from "../../src/beacon/link-statistics.js";
import { Prober, type ProberParts } from "../../src/sidecar/probe/prober.js";
import type { ProbeReport } from "../../src/sidecar/probe/prober-messages.js";
import { systemTimers } from "../../src/sidecar/probe/probe-clock.js";
import { DEFAULT_PROBE_SETTINGS, type ProbeSettings } from "../../src/sidecar/probe/probe-settings.js";

/** Fast enough for a test; every address is loopback. */
export const FAST_PROBING: ProbeSettings = {
  ...DEFAULT_PROBE_SETTINGS,
  listen: [],
  source: { ipv4: "127.0.0.1", ipv6: "::1" },
  intervalMs: 10,
  // Longer than a busy machine holds a packet back: what is lost then is really lost.
  timeoutMs: 1000,
  reportMs: 100,
  reflector: { answersPerSecond: 10_000, burst: 10_000, sessionsPerPeer: 4, openAnswersPerSecond: 0 },
  seed: 1,
};

export class ProberBench {
  readonly samples: (ProbeSample & { id: string })[] = [];
  readonly crashes: string[] = [];
  lastReport: ProbeReport | undefined;
  readonly prober: Prober;
  private readonly changes = new EventEmitter();

  constructor(settings: Partial<ProbeSettings> = {}, parts: Partial<ProberParts> = {}) {
    this.prober = new Prober({ ...FAST_PROBING, ...settings }, {
      timers: systemTimers,
      onSamples: (batch) => {
        this.samples.push(...batch.map(({ id, sample }) => ({ id, ...sample })));
        this.changes.emit("change");
      },
      onReport: (report) => {
        this.lastReport = report;
        this.changes.emit("change");
      },
      onCrash: (error) => {
        this.crashes.push(error.message);
        this.changes.emit("change");
      },
      ...parts,
    });
  }

  /** Waits for what is to come of itself; the test's own deadline ends it otherwise. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.changes, "change");
  }

  /** The second one from now was made after everything that the worker was told before. */
  async nextReport(): Promise<void> {
    const before = this.lastReport;
    await this.until(() => this.lastReport !== before);
  }

  /** The probes that were counted, lost ones included. */
  counted(id: string): ProbeSample[] {
    return this.samples.filter(({ id: of, outcome }) => of === id && outcome !== "duplicate" && outcome !== "late");
  }

  async untilCounted(id: string, count: number): Promise<void> {
    await this.until(() => this.counted(id).length >= count);
  }
}
