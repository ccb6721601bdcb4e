/**
 * A node as a policy sees it: plain facts with the hashes of the sealed records that they come from. Integers in the
 * units of those records; unknown is undefined, never 0. A node that is not believed has no facts but its name.
 * candidates.ts derives them from NodeViews; a decision record carries them, so that it can be replayed.
 */
import type { TrustState } from "../beacon/registry.js";

/** In this order in decision records: append only. `here` is the node itself, the others are links.ts' words. */
export const LINK_FACT_STATES = ["unknown", "here", "agreed", "disputed", "unconfirmed", "estimated"] as const;

/** The link from the candidate to what a policy places near. */
export interface LinkFact {
  state: (typeof LINK_FACT_STATES)[number];
  /** p50; 0 on the node itself. */
  latencyUs: number | undefined;
  /** Of round trips. */
  lossPpm: number | undefined;
}

export interface Candidate {
  /** Consul node name, node ID (UUID), address. */
  node: string;
  nodeId: string;
  address: string;
  datacenter: string;
  trust: TrustState;
  /** Consul's word; undefined for a node without a sidecar. */
  alive: boolean | undefined;
  /** Lower-case hex of the whole key, and of the SHA-256 of the sealed records; undefined without a believed record. */
  publicKey: string | undefined;
  beaconHash: string | undefined;
  stateHash: string | undefined;
  latencyUs: number | undefined;
  /** Whether the latency is an estimate by Consul's coordinates. */
  latencyEstimated: boolean;
  jitterUs: number | undefined;
  lossPpm: number | undefined;
  queueDepth: number | undefined;
  priceMicroUsdPerGb: number | undefined;
  /** What others observed, and what the node declares. */
  reputationPpm: number | undefined;
  declaredReputationPpm: number | undefined;
  /** Sorted. */
  capabilities: readonly string[] | undefined;
  /** Allocations that Nomad has on the node; undefined where there is none to ask. */
  workloads: number | undefined;
  /** How many of its links are disputed; asked for only by policies that limit it. */
  disputedLinks: number | undefined;
  /** In the order of Needs.targets. */
  links: readonly LinkFact[];
  /** In the order of Needs.copies: copies that run in the candidate's group; undefined where its workloads are unknown. */
  copies: readonly (number | undefined)[];
}
