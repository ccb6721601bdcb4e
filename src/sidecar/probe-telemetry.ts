/** What probing tells, turned into metrics and log lines; as telemetry.ts for the other loops. */
import type { Logger } from "pino";
import { headlineOf } from "../beacon/link-statistics-headline.js";
import type { ProbeSample } from "../beacon/link-statistics.js";
import type { Clock } from "./clock.js";
import { HealthLog } from "./health-log.js";
import type { Metrics } from "./metrics.js";
import { isAbsence } from "./telemetry.js";
import type { PeerReport, ProbeObserver, ProbePeer } from "./probing.js";

/** What the reflector counted since it started; probe/reflector.ts. */
export interface ReflectorTotals {
  answered: number;
  dropped: Readonly<Record<string, number>>;
}

export class ProbeTelemetry {
  readonly #states: HealthLog;
  readonly #reflector: HealthLog;
  #probed: readonly ProbePeer[] = [];
  #totals: ReflectorTotals = { answered: 0, dropped: {} };
  readonly #badKeys = new Set<string>();

  constructor(private readonly deps: { metrics: Metrics; logger: Logger; clock: Clock }) {
    const { logger, clock } = deps;
    this.#states = new HealthLog({ dependency: "consul states for probing", logger, clock });
    this.#reflector = new HealthLog({ dependency: "STAMP reflector", logger, clock });
  }

  readonly probing: ProbeObserver = {
    bound: (at, error) => {
      if (at === undefined) this.#reflector.down(error);
      else {
        this.#reflector.up();
        this.deps.logger.info({ ...at }, "answering probes of known peers");
      }
    },
    peers: (probed, known) => {
      const names = (peers: readonly ProbePeer[]) => peers.map(({ name }) => name).join();
      if (names(probed) !== names(this.#probed)) this.deps.logger.info({ probed: probed.map(({ name }) => name), known }, "probing these peers");
      this.#probed = probed;
    },
    statesRead: (error) => {
      if (error === undefined) this.#states.up();
      else if (!isAbsence(error)) this.#states.down(error);
    },
  };

  sampled(samples: readonly ProbeSample[]): void {
    const { metrics } = this.deps;
    for (const sample of samples) {
      if (sample.outcome !== "duplicate" && sample.outcome !== "late") metrics.probesSent.inc();
      if (sample.outcome === "received") metrics.probeRtt.observe(sample.rttUs / 1e6);
      if (sample.outcome === "lost") metrics.probesLost.inc();
      if (sample.outcome === "discarded") metrics.probesDiscarded.inc();
      if (sample.outcome === "duplicate") metrics.probeDuplicates.inc();
      if ("reordered" in sample && sample.reordered) metrics.probeReordered.inc();
    }
  }

  reported(peers: readonly PeerReport[], totals: ReflectorTotals): void {
    const { metrics } = this.deps;
    const headline = headlineOf(peers.map(({ summary }) => summary));
    metrics.probePeers.set(headline.peersProbed);
    metrics.probePeersAnswering.set(headline.peersAnswering);
    metrics.jitter.set(headline.jitterUs === undefined ? undefined : headline.jitterUs / 1e6);
    metrics.lossRatio.set(headline.lossRatio);
    this.#countReflected(totals);
    const estimates = new Map(this.#probed.map(({ key, estimateUs }) => [key, estimateUs]));
    for (const { key, summary } of peers) {
      const estimateUs = estimates.get(key);
      if (estimateUs !== undefined && summary.rtt !== undefined) metrics.coordinateError.observe(Math.abs(estimateUs - summary.rtt.p50Us) / 1e6);
    }
  }

  crashed(error: Error, respawnMs: number): void {
    this.deps.metrics.proberRestarts.inc();
    this.#totals = { answered: 0, dropped: {} };
    this.deps.logger.error({ err: error, respawnMs }, "the prober died and is started again");
  }

  badKey({ name, contact }: ProbePeer, reason: string): void {
    if (this.#badKeys.has(contact.publicKey)) return;
    this.#badKeys.add(contact.publicKey);
    this.deps.logger.warn({ node: name, reason }, "a peer's probing key cannot be used: it is not probed");
  }

  /** The worker counts from its start; a counter only goes up. */
  #countReflected(totals: ReflectorTotals): void {
    const { metrics } = this.deps;
    metrics.reflectorAnswered.inc(Math.max(0, totals.answered - this.#totals.answered));
    for (const [reason, count] of Object.entries(totals.dropped)) {
      metrics.reflectorDropped(reason, Math.max(0, count - (this.#totals.dropped[reason] ?? 0)));
    }
    this.#totals = { answered: totals.answered, dropped: { ...totals.dropped } };
  }
}
