/**
 * What the sidecar needs of Consul, and nothing more. The adapter over the `consul` package is
 * src/sidecar/consul/; tests that need no agent may implement it in memory, and one contract suite
 * runs against both. Times are milliseconds. Indexes are opaque strings: `/v1/event/list` answers
 * with hashes above 2^53 that are compared for equality only.
 */

export interface CallOptions {
  signal?: AbortSignal;
  /** Deadline of the whole call. The adapter has a default; blocking reads add `waitMs` to it. */
  timeoutMs?: number;
}

export type Consistency = "default" | "stale" | "consistent";

export interface ReadOptions extends CallOptions {
  consistency?: Consistency;
  datacenter?: string;
}

/** A read that may block until the index moves past `index`, for at most `waitMs`. */
export interface BlockingOptions extends ReadOptions {
  index?: string;
  waitMs?: number;
}

export interface Read<T> {
  value: T;
  index: string;
  /** How long ago the answering server heard from the leader; null where Consul does not say. */
  lastContactMs: number | null;
  /** True also for reads of the local agent alone (events), which ask no server. */
  knownLeader: boolean;
  /** Set where Consul withheld entries that the token may not read: a short list, not an error. */
  filteredByAcl?: true;
}

export interface AgentSelf {
  nodeName: string;
  /** UUID. */
  nodeId: string;
  datacenter: string;
  /** The agent's LAN member address, bare. */
  address: string;
  version: string;
  isServer: boolean;
  /** Messages waiting in this agent's three Serf LAN broadcast queues. */
  serfQueues: { intent: number; event: number; query: number };
  /** Members of the LAN gossip pool as this agent counts them (its own Stats, no list is read). */
  lanMembers: number;
}

export type MemberStatus = "none" | "alive" | "leaving" | "left" | "failed";
export interface Member {
  name: string;
  address: string;
  status: MemberStatus;
}

/** A service with one TTL check, registered at the local agent. */
export interface ServiceRegistration {
  id: string;
  name: string;
  address: string;
  port: number;
  tags: readonly string[];
  meta: Readonly<Record<string, string>>;
  check: { id: string; name: string; ttlMs: number; deregisterAfterMs: number };
}

export interface LocalService {
  id: string;
  name: string;
  address: string;
  port: number;
  tags: string[];
  meta: Record<string, string>;
}

export type CheckStatus = "passing" | "warning" | "critical" | "maintenance";

export interface ServiceInstance {
  node: string;
  nodeId: string;
  datacenter: string;
  nodeAddress: string;
  serviceId: string;
  address: string;
  port: number;
  tags: string[];
  meta: Record<string, string>;
  /** Every check of the node (serfHealth among them) and of this service. */
  checks: { id: string; status: CheckStatus }[];
}

export interface CatalogNode {
  node: string;
  nodeId: string;
  datacenter: string;
  address: string;
}

export interface KvEntry {
  key: string;
  value: Uint8Array;
  /** A decimal string: what `cas` takes. */
  modifyIndex: string;
}

/** One of a transaction. Deleting a key that is not there is no error. */
export type KvOperation = { set: string; value: string | Uint8Array } | { delete: string };

export interface UserEvent {
  id: string;
  name: string;
  payload: Uint8Array;
}

/** Vivaldi coordinate of a node in the LAN segment; vector, height and adjustment are seconds. */
export interface NodeCoordinate {
  node: string;
  vector: number[];
  error: number;
  adjustment: number;
  height: number;
}

/** Every call rejects with ConsulError, and with nothing else. */
export interface ConsulApi {
  self(options?: CallOptions): Promise<AgentSelf>;
  members(options?: CallOptions): Promise<Member[]>;

  registerService(service: ServiceRegistration, options?: CallOptions): Promise<void>;
  /** Resolves too where the agent does not know the service. */
  deregisterService(serviceId: string, options?: CallOptions): Promise<void>;
  localService(serviceId: string, options?: CallOptions): Promise<LocalService | null>;
  /** Rejects with code `not-found` where the agent does not know the check. */
  passTtl(checkId: string, output: string, options?: CallOptions): Promise<void>;

  serviceInstances(name: string, options?: BlockingOptions): Promise<Read<ServiceInstance[]>>;
  nodes(options?: BlockingOptions): Promise<Read<CatalogNode[]>>;
  coordinates(options?: ReadOptions): Promise<Read<NodeCoordinate[]>>;

  kvGet(key: string, options?: BlockingOptions): Promise<Read<KvEntry | null>>;
  /**
   * Entries over `maxValueBytes` come without being decoded: `value` is empty, `oversized` lists their keys. `too-large` where
   * the answer, in which a byte takes some 1.4, has more than `maxAnswerBytes` (default 32 MiB).
   */
  kvList(
    prefix: string,
    options?: BlockingOptions & { maxValueBytes?: number; maxAnswerBytes?: number },
  ): Promise<Read<KvEntry[]> & { oversized: string[] }>;
  /** The names between `prefix`, which ends in a slash, and the next one, each once, in their order. */
  kvFolders(prefix: string, options?: ReadOptions): Promise<Read<string[]>>;
  /** True when written; false when `cas` lost. `cas: "0"` creates only. */
  kvPut(key: string, value: string | Uint8Array, options?: CallOptions & { cas?: string }): Promise<boolean>;
  kvDelete(key: string, options?: CallOptions): Promise<void>;
  /**
   * All of the operations, or none: one Raft write, which no read sees a part of. Consul takes 128 operations (64 before 1.14)
   * and a request of 512 KiB; `rejected` where there are more (kv-transactions.ts cuts what may be cut).
   */
  kvTxn(operations: readonly KvOperation[], options?: CallOptions): Promise<void>;

  fireEvent(name: string, payload: Uint8Array, options?: CallOptions): Promise<void>;
  /**
   * The agent's whole ring (at most 256 events of all names, oldest first), filtered by name; with an
   * empty name unfiltered, which is what shows whether the ring was overrun between two reads.
   */
  events(name: string, options?: BlockingOptions): Promise<Read<UserEvent[]>>;
}

export type ConsulErrorCode =
  | "unreachable" // no answer at all: refused, reset, DNS, socket missing
  | "timeout"
  | "aborted"
  | "permission" // 403; `permission` names the missing rule where Consul says it
  | "not-found"
  | "no-leader"
  | "rate-limited" // 429
  | "server" // other 5xx
  | "too-large" // an answer over the adapter's cap
  | "rejected" // other 4xx: Consul refused what we asked
  | "protocol"; // an answer that is not Consul's: HTML, wrong shape

export class ConsulError extends Error {
  override readonly name = "ConsulError";
  constructor(
    readonly code: ConsulErrorCode,
    readonly operation: string,
    message: string,
    readonly fields: { status?: number; permission?: string; address?: string } = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
  /** Whether the same call may succeed later without anybody changing anything. */
  get transient(): boolean {
    return ["unreachable", "timeout", "no-leader", "rate-limited", "server", "protocol"].includes(this.code);
  }
}
