/**
 * What the sidecar needs of Nomad, and nothing more. The HTTP client is src/sidecar/nomad/. Every call is answered
 * by the local agent, which asks its servers where it must. Times are milliseconds.
 */

export interface NomadCallOptions {
  /** Deadline of the whole call; the client has a default. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Instead of the sidecar's own: a caller's. */
  token?: string;
}

/** The agent that answered. A server that is no client runs nothing and has no node. */
export type NomadAgentSelf = { aclEnabled: boolean } & (
  | { isClient: false }
  | {
      isClient: true;
      /** UUID of the node. */
      nodeId: string;
      /** Allocations that the client still holds, of all namespaces, the dead and not yet collected included. */
      heldAllocations: number;
    }
);

export interface NomadDriver {
  detected: boolean;
  healthy: boolean;
}

export interface NomadNode {
  id: string;
  name: string;
  /** `ready`, `down`, `initializing`, `disconnected`. */
  status: string;
  drivers: ReadonlyMap<string, NomadDriver>;
  /** As fingerprinted: `unique.consul.name`, `unique.hostname`, … */
  attributes: ReadonlyMap<string, string>;
}

export interface NomadAllocation {
  id: string;
  jobId: string;
  namespace: string;
  taskGroup: string;
  /** `pending`, `running`, `complete`, `failed`, `lost`, `unknown`. */
  clientStatus: string;
  /** `run`, `stop`, `evict`. */
  desiredStatus: string;
  createdAtMs: number;
  /** Drivers of its tasks, sorted and unique; absent where the answer does not carry the job. */
  drivers?: string[];
  /** Of the job, likewise. */
  meta?: ReadonlyMap<string, string>;
  /** Its host ports; absent where it has none, or the answer does not carry its resources. */
  endpoints?: readonly { address: string; port: number }[];
}

/** Work that the servers' schedulers hold back or have not come to yet, of those evaluations that name a node. */
export interface NomadEvaluation {
  id: string;
  jobId: string;
  /** `blocked`: nothing fits until capacity frees up. `pending`: waits for a scheduler. */
  status: "blocked" | "pending";
}

/** Every call rejects with NomadError, and with nothing else. */
export interface NomadApi {
  self(options?: NomadCallOptions): Promise<NomadAgentSelf>;
  node(nodeId: string, options?: NomadCallOptions): Promise<NomadNode>;
  /** Those the token may see: Nomad leaves out namespaces without `read-job` and does not say so. */
  allocations(nodeId: string, options?: NomadCallOptions): Promise<NomadAllocation[]>;
  /** Blocked and pending ones that name this node, of the namespaces that the token may see; refused where it may see none. */
  waitingEvaluations(nodeId: string, options?: NomadCallOptions): Promise<NomadEvaluation[]>;
}

export type NomadErrorCode =
  | "unreachable" // no answer at all: refused, reset, DNS, socket missing, certificate not trusted
  | "timeout"
  | "aborted"
  | "permission" // 403; `permission` names the ACL rules that the call needs
  | "not-found"
  | "no-leader" // the agent answers but its servers do not
  | "rate-limited" // 429
  | "server" // other 5xx
  | "too-large" // an answer over the client's cap
  | "conflict" // the job is not at the index that was expected
  | "rejected" // other 4xx: Nomad refused what we asked
  | "protocol"; // an answer that is not Nomad's: HTML, wrong shape

export class NomadError extends Error {
  override readonly name = "NomadError";
  constructor(
    readonly code: NomadErrorCode,
    readonly operation: string,
    message: string,
    readonly fields: { status?: number; permission?: string; address?: string; errno?: string } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed later without anybody changing anything. */
  get transient(): boolean {
    return ["unreachable", "timeout", "no-leader", "rate-limited", "server", "protocol"].includes(this.code);
  }

  /** Nobody listens there: a node without Nomad is an ordinary node, so this is no reason for an error in the log. */
  get absent(): boolean {
    return this.code === "unreachable" && (this.fields.errno === "ECONNREFUSED" || this.fields.errno === "ENOENT");
  }
}
