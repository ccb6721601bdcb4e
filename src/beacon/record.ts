/**
 * What a node says of itself, once decoded: plain values with their units in the names. Not how it is
 * signed (envelope.ts) and not how it travels (codec.ts). Unknown is absent, never 0.
 */

import type { ExchangeRecord } from "./link-statistics-exchange.js";

/** Names and order of a record; the same six facts stand in every signed record. */
export interface RecordHeader {
  /** Consul node name and datacenter that the record speaks for. */
  node: string;
  datacenter: string;
  /** Raised at each start of the sidecar; the sequence restarts with it. Order is (epoch, sequence). */
  epoch: number;
  sequence: number;
  /** Unix milliseconds by the node's own clock: bounds the age, never the order. */
  issuedAtMs: number;
  /** How long after `issuedAtMs` the record may be used. */
  validityMs: number;
}

export type LatencySource = "measured" | "estimated";

export interface Beacon extends RecordHeader {
  /** Round trip: measured by the node's probes, or estimated from Consul's coordinates. */
  latency?: { us: number; source: LatencySource };
  jitterUs?: number;
  /** 0..1, in steps of 1e-6. */
  lossRatio?: number;
  queueDepth?: number;
  /** Millionths of a US dollar for 10^9 bytes. */
  priceMicroUsdPerGb?: number;
  capabilities: readonly string[];
  /** 0..1: what the node claims; not evidence. */
  declaredReputation?: number;
}

/** Of a chain of proofs, from its beginning. */
export interface ProofTotals {
  watchedMs: number;
  gapMs: number;
  /** Nomad's count: it keeps no more than ten events of a task. */
  restarts: number;
  /** Absent where nothing counted. */
  traffic?: Traffic;
}

/** Bytes of IP packets to and from an allocation, headers included, and how long they were counted. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
  meteredMs: number;
}

/** Where a workload is reached on an address of its node. */
export interface Endpoint {
  address: string;
  port: number;
}

/** One Nomad allocation on the node. */
export interface Workload {
  id: string;
  job: string;
  namespace: string;
  taskGroup: string;
  status: string;
  createdAtMs: number;
  /** What it was asked to be, where a sidecar placed it. */
  source?: WorkloadSource;
  /** Of the chain that proves that it ran, the newest segment; absent before the first. */
  proof?: ProofReference;
  /** Its host ports; absent where it has none. */
  endpoints?: readonly Endpoint[];
}

/** Names one signed segment (proof-record.ts), and says of it what a reader without the chain can use. */
export interface ProofReference {
  /** Lower-case hex SHA-256 of the sealed segment. */
  hash: string;
  /** Lower-case hex, 64 bytes. */
  signature: string;
  issuedAtMs: number;
  driver: string;
  totals: ProofTotals;
  /** Of the newest look; absent where Nomad does not tell. */
  cpuPpm?: number;
  memoryBytes?: number;
}

/** A spawn request as its job remembers it; env is left out, since a signed state is for everyone to read. */
export interface WorkloadSource {
  requestId: string;
  /** The decision that put it there, and how many moves came before, counted from 1. */
  decisionId: string;
  generation: number;
  imageRef: string;
  cores: number;
  memoryMb: number;
  ports: readonly { host: number; workload: number }[];
  allowOverlap: boolean;
}

/** Consul network coordinate (Vivaldi, as Serf computes it) in integer nanoseconds; `errorRatio` is Serf's, 0..2. */
export interface Coordinate {
  vectorNs: readonly number[];
  adjustmentNs: number;
  heightNs: number;
  errorRatio: number;
}

/** One end's word on a link over a window of its own probing (link-statistics.ts says what each value is). */
export interface SignedLinkHalf {
  /** Lower-case hex of the peer's whole key, and its node name for people. */
  peerKey: string;
  peer: string;
  /** Unix milliseconds by the clock of the node that signs. */
  startMs: number;
  endMs: number;
  sent: number;
  received: number;
  /** Absent where the reflector keeps no sequence of its own. */
  direction?: { forwardLost: number; backwardLost: number };
  /** Absent without an answer: a lost probe never enters a round trip. */
  rtt?: { minUs: number; p50Us: number; p95Us: number; p99Us: number };
  jitterUs?: number;
  pdv?: { p95Us: number; p99Us: number };
  duplicates: number;
  reordered: number;
  /** Longest run of lost probes. */
  longestBurst: number;
  outgoing?: ExchangeRecord;
  incoming?: ExchangeRecord;
}

export interface ProbeContact {
  address: string;
  port: number;
  /** X25519, 32 bytes, lower-case hex. */
  publicKey: string;
}

export interface NodeState extends RecordHeader {
  /** The Consul node ID (UUID). */
  nodeId: string;
  address: string;
  /** Absent where the node has no Nomad to ask, and where their batches were not put to the state (workload-batches.ts). */
  workloads?: readonly Workload[];
  /** Of a node with more than ten workloads. */
  batches?: WorkloadBatches;
  /** Where the node is probed; absent where it is not. */
  probe?: ProbeContact;
  links?: readonly SignedLinkHalf[];
  coordinate?: Coordinate;
  /** The cluster's policy as the node applies it; absent where it has none. */
  policy?: PolicyContext;
  /** Of work that the node placed; in the order of the keys, never empty. */
  workOutcomes?: readonly WorkOutcome[];
}

/** More than ten workloads stand beside the state, ten to a batch, the last one fewer. */
export interface WorkloadBatches {
  /** Of all workloads. */
  count: number;
  /** Lower-case hex SHA-256 of each batch's bytes, in their order. */
  hashes: readonly string[];
  /** Those bytes, where they were put to the state: what is stored and forwarded. */
  bytes?: readonly Uint8Array[];
}

/** What became of work on one node, by the word of the node that placed it there. */
export interface WorkOutcome {
  /** Lower-case hex of the key of the node that was to run it. */
  peerKey: string;
  ran: number;
  /** It did not run there, and then ran elsewhere: what runs nowhere is no node's fault. */
  failed: number;
}
/** In one state: as many nodes. */
export const MAX_WORK_OUTCOMES = 512;

export interface PolicyContext {
  /** `name@` and the first 16 hex digits of the SHA-256 of its bytes: nodes that show the same apply the same. */
  id: string;
  tags: readonly string[];
  enforcement: (typeof ENFORCEMENTS)[number];
}
export const ENFORCEMENTS = ["enforce", "permissive"] as const;

/** Consul node names and datacenters as we accept them: they become KV path segments and DNS labels. */
export const NAME_RULE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** No record is usable for longer than a day, whatever it says: the cadence needs at most 3 x 3125 s at 100,000 nodes. */
export const MAX_VALIDITY_MS = 86_400_000;

/** (epoch, sequence) as one comparison: negative when `a` is older than `b`. */
export function compareOrder(a: RecordHeader, b: RecordHeader): number {
  return a.epoch - b.epoch || a.sequence - b.sequence;
}
