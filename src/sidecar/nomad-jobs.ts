/**
 * What placement needs of Nomad: jobs, their allocations and logs, and which nodes take work. Beside nomad-api.ts, which
 * is what a sidecar reads of its own node. The HTTP client is src/sidecar/nomad/jobs-client.ts. Times are milliseconds.
 */
import type { NomadCallOptions, NomadNode } from "./nomad-api.js";

/** A job as Nomad's JSON API has it. Opaque but for what placement/job.ts writes and reads. */
export type JobDocument = Readonly<Record<string, unknown>> & { readonly ID: string };

/** What is read back of a job. */
export interface NomadJob {
  id: string;
  namespace: string;
  /** `pending`, `running`, `dead`. */
  status: string;
  /** It was stopped, as opposed to having ended. */
  stopped: boolean;
  /** What EnforceIndex takes. */
  modifyIndex: number;
  meta: ReadonlyMap<string, string>;
  /** Names, in the job's order; empty in a listing. */
  tasks: readonly string[];
}

export interface NomadPlan {
  /** What a new allocation could not be placed for, in words; empty where the job would run. */
  problems: string[];
  warnings: string;
  /** Nomad's answer, whole. */
  answer: Readonly<Record<string, unknown>>;
}

export interface TaskEvent {
  /** `Received`, `Driver Failure`, `Started`, … */
  type: string;
  message: string;
}

export interface TaskState {
  /** `pending`, `running`, `dead`. */
  state: string;
  failed: boolean;
  events: readonly TaskEvent[];
}

export interface JobAllocation {
  id: string;
  jobId: string;
  namespace: string;
  nodeId: string;
  nodeName: string;
  taskGroup: string;
  /** Of the job that it runs. */
  jobVersion: number;
  clientStatus: string;
  desiredStatus: string;
  createdAtMs: number;
  /** When its client or a server last changed it. */
  modifiedAtMs: number;
  /** In no order. Absent where the client has not spoken yet. */
  tasks: ReadonlyMap<string, TaskState>;
}

export interface SchedulableNode extends NomadNode {
  /** Ready, eligible, and not draining. */
  eligible: boolean;
  /** When its status became what it is, by the servers' clock, to the second. */
  statusChangedAtMs: number;
  /** What a read that waits for the next change takes. */
  index: string;
}

/** Of those that the client ends by itself when it has lost the servers (`stop_on_client_after`); absent where there are none. */
export interface StopsOnClient {
  /** When the newest was made, by the servers' clock. */
  newestAtMs?: number;
  /** The shortest time of theirs. */
  shortestStopMs?: number;
}

/** `address` is bare. */
export interface AllocatedPort {
  label: string;
  address: string;
  port: number;
}

export interface LogRequest {
  allocationId: string;
  task: string;
  stream: "stdout" | "stderr";
  follow: boolean;
  /** Bytes before the end to begin at; absent: from the beginning. */
  lastBytes?: number;
}

/** With `index` a read waits up to `waitMs` for something newer. */
export type BlockingCallOptions = NomadCallOptions & { index?: string; waitMs?: number };

/** Every call rejects with NomadError, and with nothing else. */
export interface NomadJobs {
  /** The nodes that are ready, eligible, and not draining: ID only, as Nomad's list knows no attributes. */
  eligibleNodeIds(options?: NomadCallOptions): Promise<string[]>;
  /** Whole, by the servers' present word. */
  node(nodeId: string, options?: BlockingCallOptions): Promise<SchedulableNode>;
  /** Of the allocations that the client was given, as far as the token may see them. */
  stopsOnClient(nodeId: string, options?: NomadCallOptions): Promise<StopsOnClient>;
  /** Null where Nomad does not know it. */
  job(jobId: string, options?: NomadCallOptions): Promise<NomadJob | null>;
  /** The whole job with its version, to be registered again with a change. */
  document(jobId: string, options?: NomadCallOptions): Promise<{ job: NomadJob; version: number; document: JobDocument } | null>;
  /** Those whose ID begins so. */
  jobs(prefix: string, options?: NomadCallOptions): Promise<NomadJob[]>;
  /** Rejects with `rejected` where Nomad does not accept the job. Changes nothing. */
  plan(job: JobDocument, options?: NomadCallOptions): Promise<NomadPlan>;
  /**
   * Only where the job is at `expectedIndex` (0: where there is none), else it rejects with `conflict`. Resolves with
   * the new index.
   */
  register(job: JobDocument, expectedIndex: number, options?: NomadCallOptions): Promise<number>;
  /** `purge` forgets the job at once. Rejects with `not-found`. */
  stop(jobId: string, options?: NomadCallOptions & { purge?: boolean }): Promise<void>;
  /** Newest first. */
  jobAllocations(jobId: string, options?: BlockingCallOptions): Promise<{ index: string; allocations: JobAllocation[] }>;
  /** Of all jobs whose ID begins so, newest first; without the states of their tasks. */
  allocationsOf(jobPrefix: string, options?: NomadCallOptions): Promise<JobAllocation[]>;
  /** By the first eight characters of their ID. */
  allocationsByPrefix(prefix: string, options?: NomadCallOptions): Promise<JobAllocation[]>;
  ports(allocationId: string, options?: NomadCallOptions): Promise<AllocatedPort[]>;
  /** Ends where the log does, or with `follow` only by the signal or by leaving the loop. */
  logs(request: LogRequest, options?: NomadCallOptions): Promise<AsyncIterable<Uint8Array>>;
}
