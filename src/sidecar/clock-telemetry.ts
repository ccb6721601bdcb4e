/** What the clocks of the cluster look like from here, as metrics and as one log line for each change. */
import type { Logger } from "pino";
import type { ClockFaults } from "../beacon/clock-faults.js";
import type { ClockWatch } from "./clock-watch.js";
import type { Metrics } from "./metrics.js";

export class ClockTelemetry {
  /** A process that slept is wrong about clocks until it hears again: two judgements must agree. */
  #before = "";
  #told = "";

  constructor(private readonly deps: { metrics: Pick<Metrics, "clockOffset" | "clockFaults">; logger: Logger; clocks: Pick<ClockWatch, "judge"> }) {}

  judge(): void {
    const { metrics, clocks } = this.deps;
    const faults = clocks.judge();
    const now = JSON.stringify([faults.whose ?? null, [...faults.peers.keys()].sort()]);
    const isSettled = now === this.#before;
    this.#before = now;
    if (!isSettled) return;
    const { medianMs, whose, peers } = faults;
    metrics.clockOffset.set(medianMs === undefined ? undefined : medianMs / 1_000);
    metrics.clockFaults({ own: whose === "own" ? 1 : 0, fleet: whose === "fleet" ? 1 : 0, peer: peers.size });
    if (now !== this.#told) this.#tell(faults);
    this.#told = now;
  }

  #tell({ whose, medianMs = 0, peers }: ClockFaults): void {
    const { logger } = this.deps;
    const aheadMs = Object.fromEntries([...peers].map(([node, ms]) => [node, Math.round(ms)]));
    if (whose === "own") logger.error({ peersAheadMs: Math.round(medianMs) }, "this node's clock is wrong: its peers agree with each other and not with it, and refuse its records until it is set");
    else if (whose === "fleet") logger.error({ peersAheadMs: Math.round(medianMs) }, "the peers' clocks moved together and this node's did not: what sets the fleet's clocks is to be looked at");
    if (peers.size > 0) logger.warn({ aheadMs }, "peers' clocks are wrong: their records are refused until they are set");
    else if (whose === undefined && this.#told !== "" && this.#told !== NONE) logger.info({}, "the clocks agree again");
  }
}

const NONE = JSON.stringify([null, []]);
