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

/** Every call rejects with NomadError, and with nothing else. */
export interface NomadRuns {
  /** Those that Nomad still keeps and the token may see, the ended ones too; none that never started. */
  runs(nodeId: string, options?: NomadCallOptions): Promise<AllocationRun[]>;
  usage(allocationId: string, options?: NomadCallOptions): Promise<AllocationUsage>;
}
