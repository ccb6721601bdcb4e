/**
 * What the loops tell, turned into metrics and log lines. One place, so that a loop holds no wording and a metric has
 * one writer. Each plane's failures are logged once for each change of state.
 */
import type { Logger } from "pino";
import type { Carrier, Registry } from "../beacon/registry.js";
import { TRUST_STATES, type TrustState } from "../beacon/registry.js";
import type { RejectReason, Rejection } from "../beacon/rejection.js";
import type { Clock } from "./clock.js";
import { ConsulError } from "./consul-api.js";
import type { EvidenceObserver } from "./evidence-book.js";
import { HealthLog } from "./health-log.js";
import type { IntakeObserver } from "./intake.js";
import type { KeyJudgeObserver } from "./key-judge.js";
import { type Metrics, type Plane, PLANES } from "./metrics.js";
import type { OwnVoiceObserver } from "./own-voice.js";
import type { PublishObserver } from "./publisher.js";
import type { WatchObserver } from "./watcher.js";
import type { WriteOutcome } from "./written-plane.js";

/** Rejections that an operator wants to know of; the others are how an open network is. */
const ALARMING: ReadonlySet<RejectReason> = new Set(["pin-conflict", "id-collision", "equivocation", "readable-mismatch", "wrong-node"]);

export interface TelemetryDeps {
  metrics: Metrics;
  logger: Logger;
  clock: Clock;
  registry: Registry;
  /** How many nodes of other clusters this sidecar lists. */
  federated?: () => number;
}

export class Telemetry {
  readonly #consul: HealthLog;
  readonly #watches: Record<"catalog" | "pins" | "events" | "list", HealthLog>;
  readonly #planes: Record<Plane, HealthLog>;
  readonly #nodeMetadata: HealthLog;
  #refusal = "";
  /** Told once. */
  readonly #forks = new Set<string>();

  constructor(private readonly deps: TelemetryDeps) {
    const health = (dependency: string) => new HealthLog({ dependency, logger: deps.logger, clock: deps.clock });
    this.#consul = health("consul");
    deps.metrics.duplicateProcess.set(false);
    deps.metrics.publishingYielded.set(false);
    this.#watches = { catalog: health("consul catalog"), pins: health("consul pins"), events: health("consul events"), list: health("consul listing") };
    this.#nodeMetadata = health("Nomad node metadata");
    this.#planes = Object.fromEntries(PLANES.map((plane) => [plane, health(`plane ${plane}`)])) as Record<Plane, HealthLog>;
  }

  get consulState(): HealthLog["state"] {
    return this.#consul.state;
  }

  /** A read that is not a loop's own: the listing, the events. Undefined is a success. */
  watched(what: "catalog" | "pins" | "events" | "list", error: unknown): void {
    if (error === undefined) this.#watches[what].up();
    else {
      this.#countError(error);
      // Consul away altogether has its own line: one for all that hangs on it.
      if (!isAbsence(error)) this.#watches[what].down(error);
    }
  }

  readonly nodeMetadata = (outcome: WriteOutcome | "removed", error?: unknown): void => {
    const { metrics } = this.deps;
    if (outcome === "deferred") metrics.writeDeferred.inc();
    else if (error !== undefined) {
      metrics.nodeMetadataWriteFailures.inc();
      this.#nodeMetadata.down(error);
    } else if (outcome === "written" || outcome === "removed") {
      metrics.nodeMetadataWrites.inc();
      this.#nodeMetadata.up();
    }
  };

  readonly publish: PublishObserver = {
    beat: (readings, sealed, cadence) => {
      const { metrics } = this.deps;
      const { epoch, sequence, latency } = sealed.beacon.record;
      metrics.epoch.set(epoch);
      metrics.sequence.set(sequence);
      metrics.setLatency(latency);
      metrics.serfQueueDepth.set(readings.serfQueueDepth);
      metrics.workloadCount.set(readings.workloads?.length);
      metrics.kvPeriod.set(cadence.heartbeatMs / 1_000);
      metrics.servicePeriod.set(cadence.heartbeatMs / 1_000);
      metrics.eventPeriod.set(cadence.eventMs === null ? undefined : cadence.eventMs / 1_000);
      metrics.eventStopped.set(cadence.eventMs === null);
      metrics.validity.set(cadence.validityMs / 1_000);
      metrics.writeBudget.set(cadence.writesPerS);
      metrics.setNodes(this.#trustCounts());
      this.#refusal = "";
      this.deps.logger.debug({ epoch, sequence, bytes: sealed.beacon.sealed.length, stateBytes: sealed.state.sealed.length }, "sealed");
    },
    joined: ({ nodeName, datacenter, version, address }) =>
      this.deps.logger.info({ node: nodeName, datacenter, consulVersion: version, address }, "joined the Consul agent's cluster"),
    consulAnswers: (error) => {
      this.deps.metrics.consulUp.set(error === undefined);
      if (error === undefined) this.#consul.up();
      else {
        this.#countError(error);
        this.#consul.down(error);
      }
    },
    plane: (plane, outcome, error) => {
      const { metrics } = this.deps;
      if (outcome === "written") {
        metrics.planeWrite(plane);
        this.#planes[plane].up();
        if (plane === "service" || plane === "kv") metrics.stateChanges.inc();
      } else if (outcome === "not-due") {
        metrics.broadcastSkipped.inc();
        if (plane === "pin") this.#planes.pin.up(); // Consul answered: the pin stands already
      } else if (outcome === "deferred") metrics.writeDeferred.inc();
      else if (error !== undefined) {
        metrics.planeWriteFailure(plane);
        this.watchedPlane(plane, error);
      }
    },
    recordRefused: (error) => {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#refusal) this.deps.logger.error({ reason }, "this node's record cannot be sealed: nothing new is published");
      this.#refusal = reason;
    },
  };

  readonly watch: WatchObserver = {
    catalogRead: (error) => this.watched("catalog", error),
    pinsRead: (error) => this.watched("pins", error),
    lastContact: (ms) => this.deps.metrics.catalogStaleness.set(ms === null ? undefined : ms / 1_000),
    followed: ({ moved, forks }) => {
      for (const { node, publicKey, formerKeys } of moved) {
        this.deps.metrics.rotationsFollowed.inc();
        this.deps.logger.info({ node, from: formerKeys?.at(-1), to: publicKey }, "a node rotated its key: the pin followed");
      }
      for (const [{ node, oldKey, newKey }, other] of forks) {
        if (this.#forks.has(`${newKey} ${other.newKey}`)) continue;
        this.#forks.add(`${newKey} ${other.newKey}`);
        this.deps.logger.error({ node, key: oldKey, to: [newKey, other.newKey] }, "a node's key was rotated to two keys: whoever holds it signed both, and no pin follows");
      }
    },
    swept: (expired, forgotten) => {
      this.deps.metrics.registryExpired.inc(expired.length);
      this.deps.metrics.registryForgotten.inc(forgotten.length);
      if (expired.length > 0) this.deps.logger.info({ nodes: expired }, "records went over their age");
      if (forgotten.length > 0) this.deps.logger.info({ nodes: forgotten }, "nodes were forgotten: Consul no longer knows them");
    },
  };

  ownPinConflict(key: string, pinned: string): void {
    this.deps.logger.error(
      { key, pinned },
      "another key is pinned for this node: peers will quarantine it until the old key is back, or an operator deletes the pin in KV and on each peer",
    );
  }

  readonly intake: IntakeObserver = {
    accepted: (carrier: Carrier, node, change) => {
      this.deps.metrics.recordAccepted(carrier);
      if (change === "new") this.deps.logger.info({ node, carrier }, "first verified record of a node");
    },
    rejected: (carrier, node, rejection) => this.rejected(carrier, node, rejection),
    waiting: (carrier) => this.deps.metrics.recordWaiting(carrier),
  };

  readonly evidence: EvidenceObserver = {
    kept: (kind, node) => {
      this.deps.metrics.evidenceKept(kind);
      this.deps.logger.error({ kind, node }, "signed records contradict each other: kept as evidence, which `hypercore trust evidence` shows");
    },
    notKept: (kind, node, reason) => this.deps.logger.error({ kind, node, reason }, "signed records contradict each other, and are not kept"),
  };

  readonly voice: OwnVoiceObserver = {
    twin: (outcome, { record: { node, epoch, sequence } }) => {
      this.deps.metrics.duplicateProcess.set(true);
      this.deps.metrics.publishingYielded.set(outcome === "yields");
      this.deps.logger.error({ node, epoch, sequence, outcome }, outcome === "yields"
        ? "another process has this node's key and goes on with it: this one publishes nothing more until it is started again"
        : "another process has this node's key: it is to give up, and this one goes on");
    },
  };

  readonly keys: KeyJudgeObserver = {
    waiting: (keys) => this.deps.metrics.keysWaiting.set(keys),
    judged: (key, fault) => {
      this.deps.metrics.keyJudged(fault === null ? "sound" : "torsion");
      if (fault !== null) this.deps.logger.warn({ key, fault }, "a key is not sound: nothing that it signed is believed");
    },
    failed: (error, retryInMs) => this.deps.logger.error({ err: error, retryInMs }, "keys cannot be judged: new nodes stay unverified"),
  };

  rejected(carrier: Carrier, node: string | undefined, { reason, detail }: Rejection): void {
    this.deps.metrics.recordRejected(reason, carrier);
    const level = ALARMING.has(reason) ? "warn" : "debug";
    this.deps.logger[level]({ carrier, node, reason, detail }, "record rejected");
  }

  private watchedPlane(plane: Plane, error: unknown): void {
    this.#countError(error);
    if (!isAbsence(error)) this.#planes[plane].down(error);
  }

  #countError(error: unknown): void {
    if (error instanceof ConsulError && error.code !== "aborted") this.deps.metrics.consulRequestError(error.code);
  }

  #trustCounts(): Partial<Record<TrustState, number>> {
    const counts = Object.fromEntries(TRUST_STATES.map((trust) => [trust, 0])) as Record<TrustState, number>;
    for (const entry of this.deps.registry.list({ verifiedOnly: false }, this.deps.clock.monoMs())) counts[entry.trust] += 1;
    counts.federated = this.deps.federated?.() ?? 0;
    for (const { reason } of this.deps.registry.quarantined()) counts[reason as TrustState] += 1;
    return counts;
  }
}

/** No answer at all: said once, for the agent as a whole. */
export function isAbsence(error: unknown): boolean {
  return error instanceof ConsulError && error.code === "unreachable";
}
