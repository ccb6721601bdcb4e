/** What the sidecar says of its mode, its allow-list and edited pins, as metrics and log lines. As telemetry.ts. */
import type { Logger } from "pino";
import type { TrustPolicy } from "../beacon/trust-policy.js";
import type { AllowListObserver } from "./allow-list-watch.js";
import type { Clock } from "./clock.js";
import { HealthLog } from "./health-log.js";
import type { Metrics } from "./metrics.js";

export class TrustTelemetry implements AllowListObserver {
  readonly #kv: HealthLog;
  #refused = "";

  constructor(private readonly deps: { metrics: Metrics; logger: Logger; clock: Clock; policy: TrustPolicy }) {
    const { metrics, logger, clock, policy } = deps;
    this.#kv = new HealthLog({ dependency: "consul allow-list", logger, clock });
    metrics.setTrustMode(policy.mode);
    if (policy.mode === "open") logger.warn({}, "trust mode open: whoever signs is shown, labelled unverified, and nobody is believed");
  }

  taken: AllowListObserver["taken"] = (source, { record, key }) => {
    const { metrics, logger } = this.deps;
    metrics.allowListSerial.set(record.serial);
    metrics.allowListExpiry.set(record.expiresAtMs === undefined ? undefined : record.expiresAtMs / 1_000);
    logger.info({ source, serial: record.serial, nodes: record.nodes.length, operator: key.hex }, "allow-list taken");
  };

  /** Once for each list that stands there and is refused. */
  refused: AllowListObserver["refused"] = (source, { reason, detail }) => {
    const said = `${source} ${reason} ${detail}`;
    if (said === this.#refused) return;
    this.#refused = said;
    this.deps.logger.warn({ source, reason, detail }, "allow-list refused: the one held stays");
  };

  read: AllowListObserver["read"] = (error) => {
    if (error === undefined) this.#kv.up();
    else this.#kv.down(error);
  };

  unkept: AllowListObserver["unkept"] = (error) =>
    this.deps.logger.error({ err: error }, "the allow-list cannot be kept on disk: after a restart an older one could be replayed");

  pinsEdited(count: number): void {
    this.deps.logger.info({ pins: count }, "pins were edited on disk and are taken over");
  }

  pinsUnreadable(error: unknown): void {
    this.deps.logger.error({ err: error }, "the edited pins cannot be read: those in memory stay");
  }
}
