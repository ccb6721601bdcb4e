/**
 * What the servers need of the sidecar, and nothing more: the nodes, and whether they are worth asking for.
 * The composition root implements both over the registry.
 */
import type { NodeView } from "../../beacon/node-view.js";

export interface ClusterReader {
  /**
   * Every node that Consul knows, with a sidecar or without, as this sidecar believes it at this moment.
   * Rejects only where nothing can be said at all; what is unknown about a node is absent from its view.
   */
  list(options?: { signal?: AbortSignal }): Promise<NodeView[]>;
}

export interface ReadyStatus {
  /** The registry was filled once since the start, or the sidecar serves its own state without Consul. */
  ready: boolean;
  consul: "connecting" | "connected" | "unreachable";
  /** Serving its own state only, until an agent appears. */
  standalone: boolean;
  /** Absent where no beacon network is configured. It is in the way of nothing: a node without it is as ready. */
  beaconNetwork?: "connecting" | "connected" | "unreachable";
}

export interface Readiness {
  status(): ReadyStatus;
}
