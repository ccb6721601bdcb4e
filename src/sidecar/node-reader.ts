/** What a beat reads of this node before it seals a record. Unknown is absent; src/sidecar/readings/ has the readers. */
import type { Coordinate, LatencySource, Workload } from "../beacon/record.js";
import type { AgentSelf } from "./consul-api.js";

export interface Readings {
  latency?: { us: number; source: LatencySource };
  jitterUs?: number;
  lossRatio?: number;
  queueDepth?: number;
  /** The Serf part of the queue depth, for the metric of that name; not sealed. */
  serfQueueDepth?: number;
  priceMicroUsdPerGb?: number;
  capabilities: readonly string[];
  workloads?: readonly Workload[];
  /** This node's own network coordinate, from which peers estimate. */
  coordinate?: Coordinate;
}

export interface NodeReader {
  /** `self` is absent while no Consul agent answers. Never rejects: what cannot be read is absent. */
  read(self: AgentSelf | undefined, signal: AbortSignal): Promise<Readings>;
}
