/**
 * What proofs need of Nomad: how each allocation of a node ran, and what it uses now. The HTTP client is
 * src/sidecar/nomad/runs-client.ts. Times are Unix milliseconds.
 */
import type { NomadCallOptions } from "./nomad-api.js";

export interface TaskRun {
  name: string;
  /** Of its last start; absent where it never started. */
  startedAtMs?: number;
  /** Absent while it runs. */
  finishedAtMs?: number;
  restarts: number;
  /** The last ten, oldest first. */
  events: readonly { type: string; /** As exact as a double holds it: what orders the events of a task. */ atNs: number; exitCode?: number; signal?: number }[];
}

export interface AllocationRun {
  id: string;
  jobId: string;
  namespace: string;
  taskGroup: string;
  jobVersion: number;
  /** Lower-case hex SHA-256. */
  jobHash: string;
  /** Of its tasks, joined by a comma where they differ. */
  driver: string;
  /** Of ours that placed it. */
  decisionId?: string;
  /** `pending`, `running`, `complete`, `failed`, `lost`, `unknown`. */
  clientStatus: string;
  tasks: readonly TaskRun[];
}

/** Over an allocation's tasks; absent is what its driver does not measure. */
export interface AllocationUsage {
  /** Millionths of a core. */
  cpuPpm?: number;
  memoryBytes?: number;
}

/** An allocation that is to run or runs, and where it is reached. */
export interface PlacedAllocation {
  id: string;
  job: string;
  namespace: string;
  /** Its host ports. */
  endpoints: readonly { address: string; port: number }[];
  /** Of a network of its own (bridge mode), once it has one. */
  ownAddress?: string;
}

/** Every call rejects with NomadError, and with nothing else. */
export interface NomadRuns {
  /**
   * Those that are not over. With `since`, an index of an answer before: when something changed, or after `waitMs`. The index is
   * absent where Nomad tells none.
   */
  placed(nodeId: string, wait: { since: string | undefined; waitMs: number }, options?: NomadCallOptions): Promise<{ allocations: PlacedAllocation[]; index: string | undefined }>;
  /** Those that Nomad still keeps and the token may see, the ended ones too; none that never started. */
  runs(nodeId: string, options?: NomadCallOptions): Promise<AllocationRun[]>;
  usage(allocationId: string, options?: NomadCallOptions): Promise<AllocationUsage>;
}
