/** Spawn, Stop and Logs, as the servers offer them; placement/ is what stands behind. Every call rejects with PlacementError. */
import type { SpawnOrder } from "./spawn-order.js";

export interface WorkloadCall {
  /** The caller's own Nomad token: what it asks for runs with that, instead of the sidecar's. */
  nomadToken?: string;
  /** Unix milliseconds by which the answer must be out. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

export interface Spawned {
  /** Of the workload: what Stop and Logs take. */
  id: string;
  requestId: string;
  /** Of its first port; empty where it has none, or none yet. */
  url: string;
  /** Consul's name of the node. */
  node: string;
  allocationId?: string;
  /** `planned` is a dry run's: nothing was changed. `pending` is on its way, such as an image that is being fetched. */
  status: "running" | "pending" | "planned";
  /** JSON: what was decided among whom. Absent where an earlier call placed it. */
  decision?: unknown;
  /** Nomad's plan of a dry run. */
  plan?: unknown;
  /** Better nodes that could not run it, and why. */
  passedOver: readonly { node: string; reason: string }[];
}

/** A node as Consul lists it. */
export interface WorkloadNode {
  id: string;
  address: string;
  name: string;
}

export interface LogQuery {
  /** Of the workload, or of an allocation (eight characters are enough). */
  id: string;
  /** Default: the first. */
  task?: string;
  /** Default: both. */
  stream?: "stdout" | "stderr";
}

export interface LogPart {
  allocationId: string;
  task: string;
  stream: "stdout" | "stderr";
  bytes: Uint8Array;
}

export interface Workloads {
  spawn(order: SpawnOrder, call: WorkloadCall): Promise<Spawned>;
  /** Resolves with the node that it ran on, also where it was stopped before. */
  stop(id: string, call: WorkloadCall): Promise<WorkloadNode>;
  /** The end of the log, as it is now. */
  logs(query: LogQuery, call: WorkloadCall): Promise<LogPart[]>;
  /** From the end of the log on, until the workload ends or the signal aborts. Slow readers slow the source. */
  follow(query: LogQuery, call: WorkloadCall): AsyncIterable<LogPart>;
}
