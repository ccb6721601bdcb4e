/**
 * Signed records as Consul shows them to people: service meta, tags, and the JSON document in KV. Everything readable
 * is derived from the record, and a reader derives it again from what it verified: a difference is tampering.
 * So what is readable stays as the first release has it: a field more is tampering to every sidecar that is not upgraded
 * yet. What a later version adds to a record stands in the sealed bytes alone, where older readers skip it.
 */
import type { Verified } from "./envelope.js";
import type { Beacon, NodeState, Workload } from "./record.js";
import type { KeyRotation } from "./rotation.js";

export const SERVICE_NAME = "ibrl-beacon";
export const EVENT_NAME = "ibrl";
const KV_ROOT = "ibrl/v1";
export const NODES_PREFIX = `${KV_ROOT}/nodes/`;
export const STATE_SUFFIX = "/state";

export const DECISIONS_PREFIX = `${KV_ROOT}/decisions/`;
/** Signed, by name; and the bytes themselves, by their hash. */
export const POLICY_NAMES_PREFIX = `${KV_ROOT}/policies/names/`;
export const POLICY_BYTES_PREFIX = `${KV_ROOT}/policies/bytes/`;

/** The nodes of a beacon network that runs on this cluster. */
export const NETWORK_PREFIX = `${KV_ROOT}/network/nodes/`;
export function networkKey({ datacenter, node }: { datacenter: string; node: string }): string {
  return `${NETWORK_PREFIX}${datacenter}/${node}`;
}

/** Locks of who places work. */
export function placementPrefix(datacenter: string): string {
  return `${KV_ROOT}/placement/${datacenter}/`;
}

export function stateKey(node: string): string {
  return `${NODES_PREFIX}${node}${STATE_SUFFIX}`;
}
export function batchesPrefix(node: string): string {
  return `${NODES_PREFIX}${node}/workloads/`;
}
export function batchKey(node: string, hash: string): string {
  return `${batchesPrefix(node)}${hash.slice(0, 16)}`;
}
/** The root over the newest proofs of what runs on a node. */
export function proofRootKey(node: string): string {
  return `${NODES_PREFIX}${node}/proofs`;
}
/** What nodes carried, a signed statement for each period. Not below the nodes, whose states are read all at once. */
export const USAGE_PREFIX = `${KV_ROOT}/usage/`;
export function usagePrefix(datacenter: string, node?: string): string {
  return node === undefined ? `${USAGE_PREFIX}${datacenter}/` : `${USAGE_PREFIX}${datacenter}/${node}/`;
}
export function pinsPrefix(datacenter: string): string {
  return `${KV_ROOT}/pins/${datacenter}/`;
}
export function pinKey(datacenter: string, node: string): string {
  return `${pinsPrefix(datacenter)}${node}`;
}

export function allowListKey(datacenter: string): string {
  return `${KV_ROOT}/trust/${datacenter}/allow-list`;
}
export function rotationsPrefix(datacenter: string): string {
  return `${KV_ROOT}/rotations/${datacenter}/`;
}
/** Both branches of a fork have a place of their own, so that every reader sees both. */
export function rotationKey({ datacenter, node, epoch, newKey }: KeyRotation): string {
  return `${rotationsPrefix(datacenter)}${node}/${String(epoch)}-${newKey.slice(0, 16)}`;
}

/** Consul allows 512 characters for a meta value: base64 of the largest beacon (350 bytes) has 468. */
export const META_SEALED = "ibrl-beacon";
const META_VERSION = "1";

/** Upper bounds in µs. Consul filters know equality only, so ranges are asked for by class. */
const LATENCY_CLASSES: readonly (readonly [string, number])[] = [
  ["latency-1ms", 1_000],
  ["latency-5ms", 5_000],
  ["latency-20ms", 20_000],
  ["latency-50ms", 50_000],
  ["latency-100ms", 100_000],
  ["latency-200ms", 200_000],
];

/** The smallest class that holds the node's headline latency; `latency-over` above 200 ms, `latency-unknown` without one. */
export function latencyClass(beacon: Beacon): string {
  const { latency } = beacon;
  if (latency === undefined) return "latency-unknown";
  return LATENCY_CLASSES.find(([, boundUs]) => latency.us <= boundUs)?.[0] ?? "latency-over";
}

/** What the service's meta must be beside this sealed beacon. Unknown values have no key. */
export function serviceMeta(verified: Verified<Beacon>): Record<string, string> {
  const { record } = verified;
  const meta: Record<string, string> = {
    "ibrl-v": META_VERSION,
    [META_SEALED]: Buffer.from(verified.sealed).toString("base64"),
    "ibrl-class": latencyClass(record),
  };
  const known: [string, number | undefined][] = [
    ["ibrl-latency-us", record.latency?.us],
    ["ibrl-jitter-us", record.jitterUs],
    ["ibrl-loss-ppm", record.lossRatio === undefined ? undefined : Math.round(record.lossRatio * 1e6)],
    ["ibrl-queue", record.queueDepth],
    ["ibrl-price-microusd", record.priceMicroUsdPerGb],
  ];
  for (const [key, value] of known) if (value !== undefined) meta[key] = String(value);
  return meta;
}

/** DNS names of the node: `sealed` says only that a sealed beacon is there; verifying it is the reader's. */
export function serviceTags(beacon: Beacon): string[] {
  return ["sealed", latencyClass(beacon), ...beacon.capabilities];
}

/** The first of our meta keys whose text is not what the verified record says; undefined when all agree. */
export function metaMismatch(meta: Readonly<Record<string, string>>, verified: Verified<Beacon>): string | undefined {
  const derived = serviceMeta(verified);
  const keys = new Set([...Object.keys(derived), ...Object.keys(meta).filter((key) => key.startsWith("ibrl-"))]);
  for (const key of keys) {
    if (meta[key] !== derived[key]) return `meta ${key} is ${meta[key] ?? "absent"}; the sealed record says ${derived[key] ?? "nothing"}`;
  }
  return undefined;
}

/** The KV document: `state` for people, `sealed` for readers. */
export function stateDocument(verified: Verified<NodeState>): string {
  return JSON.stringify({ v: 1, state: readableState(verified), sealed: Buffer.from(verified.sealed).toString("base64") }, null, 1);
}

export interface StateDocument {
  readable: unknown;
  sealed: Uint8Array;
}

/** Null for anything that is not a state document. */
export function parseStateDocument(value: Uint8Array): StateDocument | null {
  try {
    const { v, state, sealed } = JSON.parse(Buffer.from(value).toString("utf8")) as Record<string, unknown>;
    if (v !== 1 || typeof sealed !== "string") return null;
    return { readable: state, sealed: Buffer.from(sealed, "base64") };
  } catch {
    return null;
  }
}

/** Whether the readable copy is what the verified state says. */
export function stateAgrees(document: StateDocument, verified: Verified<NodeState>): boolean {
  return JSON.stringify(document.readable) === JSON.stringify(readableState(verified));
}

function readableState({ record, beaconId }: Verified<NodeState>) {
  return {
    node: record.node,
    datacenter: record.datacenter,
    nodeId: record.nodeId,
    address: record.address,
    beaconId,
    epoch: record.epoch,
    sequence: record.sequence,
    issuedAt: new Date(record.issuedAtMs).toISOString(),
    validitySeconds: record.validityMs / 1_000,
    // Who does not know batches reads of a state with some that its workloads are unknown, and expects the same here.
    workloads: record.batches === undefined ? (record.workloads?.map(readableWorkload) ?? null) : null,
    ...(record.policy === undefined ? {} : { policy: record.policy }),
    links: (record.links ?? []).map(({ peer, sent, received, rtt }) => ({ peer, sent, received, rttP50Us: rtt?.p50Us ?? null })),
  };
}

export function readableWorkload({ proof: _proof, endpoints: _endpoints, ...workload }: Workload) {
  return workload;
}
