/**
 * All readings of a beat, together. What changes slowly or costs the cluster's size is read less often than a beat;
 * a reading that could not be taken is absent, and its reason is logged at debug.
 */
import type { Logger } from "pino";
import type { Clock } from "../clock.js";
import type { AgentSelf, ConsulApi } from "../consul-api.js";
import type { NodeReader, Readings } from "../node-reader.js";
import type { NomadApi } from "../nomad-api.js";
import { capabilitiesOf } from "./capabilities.js";
import { signedCoordinate } from "../../beacon/coordinate.js";
import type { Headline } from "../../beacon/link-statistics-headline.js";
import type { NodeCoordinate } from "../consul-api.js";
import type { LatencyEstimate } from "./coordinates.js";
import { type HostPaths, type HostFindings, readHost } from "./host.js";
import type { InterfaceRates } from "./interfaces.js";
import { readLatencyEstimate } from "./latency.js";
import { readLocalNomad } from "./local-nomad.js";
import type { PriceSource } from "./price.js";
import { queueDepthOf } from "./queue-depth.js";
import { measured, type Reading, unmeasured } from "./reading.js";
import { workloadsOf } from "./workloads.js";

/** Consul moves coordinates at most every 15 s; the host's devices and engines change by hand. */
const SLOW_MS = 15_000;

export interface ThisNodeDeps {
  consul: Pick<ConsulApi, "coordinates" | "members">;
  nomad: NomadApi;
  price: PriceSource;
  hostname: string;
  hostPaths: HostPaths;
  extraCapabilities: readonly string[];
  interfaces: Pick<InterfaceRates, "read">;
  /** What this node's probes measured; undefined while nothing is probed. */
  headline: () => Headline | undefined;
  clock: Clock;
  logger: Logger;
}

type Estimate = LatencyEstimate & { own: NodeCoordinate };

export class ThisNode implements NodeReader {
  #estimate: { value: Estimate; atMs: number } | undefined;
  #host: { value: HostFindings; atMs: number } | undefined;

  constructor(private readonly deps: ThisNodeDeps) {}

  async read(self: AgentSelf | undefined, signal: AbortSignal): Promise<Readings> {
    try {
      return await this.#read(self, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return { capabilities: [] }; // nobody reads it any more
    }
  }

  async #read(self: AgentSelf | undefined, signal: AbortSignal): Promise<Readings> {
    const { nomad, price, hostname, extraCapabilities } = this.deps;
    const identity = self === undefined ? { hostname } : { hostname, consulNode: self.nodeName };
    const [latency, local, host, microUsd, interfaces] = await Promise.all([
      this.#latency(self, signal),
      readLocalNomad(nomad, identity, { signal }),
      this.#findings(),
      price.read({ signal }),
      this.deps.interfaces.read(),
    ]);
    const agent: Reading<AgentSelf> = self === undefined ? unmeasured("consul-absent") : measured(self);
    const queue = queueDepthOf(agent, local);
    const workloads = workloadsOf(local.allocations);
    const detected = capabilitiesOf(local.node, host, extraCapabilities);
    this.#log("latency estimate", latency);
    this.#log("queue depth", queue);
    this.#log("workloads", workloads);
    this.#log("price", microUsd);
    this.#log("bandwidth in use", interfaces);
    this.deps.logger.debug({ ...detected, nomad: local.node.reason ?? "answers" }, "reading of capabilities");
    return {
      capabilities: detected.names,
      ...this.#network(latency),
      ...(queue.value === undefined ? {} : { queueDepth: queue.value.total, serfQueueDepth: queue.value.serf }),
      ...(workloads.value === undefined ? {} : { workloads: workloads.value }),
      ...(microUsd.value === undefined ? {} : { priceMicroUsdPerGb: microUsd.value }),
    };
  }

  /**
   * Measured wherever something is probed. An estimate stands in only while nothing is: a node whose peers do not
   * answer has no latency, however good Consul's old coordinates still look.
   */
  #network(estimate: Reading<Estimate>): Pick<Readings, "latency" | "jitterUs" | "lossRatio" | "coordinate"> {
    const headline = this.deps.headline();
    const signed = estimate.value === undefined ? undefined : signedCoordinate(estimate.value.own);
    const coordinate = signed === undefined ? {} : { coordinate: signed };
    if (headline === undefined) {
      return estimate.value === undefined ? {} : { ...coordinate, latency: { us: Math.round(estimate.value.rttUs), source: "estimated" } };
    }
    this.deps.logger.debug({ reading: "probes", value: headline }, "reading");
    const { latencyUs, jitterUs, lossRatio } = headline;
    return {
      ...coordinate,
      ...(latencyUs === undefined ? {} : { latency: { us: Math.round(latencyUs), source: "measured" as const } }),
      ...(jitterUs === undefined ? {} : { jitterUs: Math.round(jitterUs) }),
      ...(lossRatio === undefined ? {} : { lossRatio }),
    };
  }

  async #latency(self: AgentSelf | undefined, signal: AbortSignal): Promise<Reading<Estimate>> {
    if (self === undefined) return unmeasured("consul-absent");
    const { clock, consul } = this.deps;
    if (this.#estimate !== undefined && clock.monoMs() - this.#estimate.atMs < SLOW_MS) return measured(this.#estimate.value);
    const reading = await readLatencyEstimate(consul, self.nodeName, { signal });
    this.#estimate = reading.value === undefined ? undefined : { value: reading.value, atMs: clock.monoMs() };
    return reading;
  }

  async #findings(): Promise<HostFindings> {
    const { clock, hostPaths } = this.deps;
    if (this.#host === undefined || clock.monoMs() - this.#host.atMs >= SLOW_MS) {
      this.#host = { value: await readHost(hostPaths), atMs: clock.monoMs() };
    }
    return this.#host.value;
  }

  #log(reading: string, { value, ...why }: Reading<unknown>): void {
    this.deps.logger.debug({ reading, value, ...why }, "reading");
  }
}
