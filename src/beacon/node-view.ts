/**
 * One node as a reader shows it: what Consul says that exists, and what this reader verified of it. The sidecar's
 * API, the CLI and the page all show NodeViews; none of them invents a value.
 */
import type { Verified } from "./envelope.js";
import type { Beacon, NodeState } from "./record.js";
import type { TrustState } from "./registry.js";
import type { Rotation } from "./rotation.js";

export interface Reputation {
  /** 0..1. */
  score: number;
  observers: number;
}

export interface NodeView {
  /** Consul node name, node ID (UUID), bare address. */
  name: string;
  id: string;
  address: string;
  datacenter: string;
  trust: TrustState;
  /** For people, where `trust` is not one of the believed states. */
  detail?: string;
  /** Consul's word on node and sidecar; absent for a node without a sidecar. */
  alive?: boolean;
  /** Absent for nodes without a sidecar, and for those not believed; in open mode an `unverified` node has one. */
  beacon?: Verified<Beacon>;
  /** The whole state, by the same key as the beacon; absent while it was not read or not accepted. */
  state?: Verified<NodeState>;
  reputation?: Reputation;
  /** By which the node came to its key, oldest first; absent where it has its first. */
  rotations?: readonly Rotation[];
}

export function isBelieved(trust: TrustState): boolean {
  return trust === "pinned" || trust === "first-use";
}

/** Whether a verified record's values are shown: believed ones, and, so labelled, those of open mode and of other clusters. */
export function isShown(trust: TrustState): boolean {
  return isBelieved(trust) || trust === "unverified" || trust === "federated";
}

/** Trust states in which a sidecar's node is not believed for another reason than age: `--strict` exits 3 on them. */
export function isRejected(trust: TrustState): boolean {
  return trust === "pin-conflict" || trust === "id-collision" || trust === "equivocation" || trust === "unlisted" || trust === "unverified";
}

/** What a node of another cluster is called here: Consul's names are unique within a datacenter only. */
export function federatedName({ node, datacenter }: { node: string; datacenter: string }): string {
  return `${node}.${datacenter}`;
}
