/** NodeViews for tests of what shows them: of records that were sealed and opened, like any other. */
import type { Verified } from "../../src/beacon/envelope.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { Beacon, NodeState } from "../../src/beacon/record.js";
import { identity, NOW_MS, verifiedBeacon, verifiedState, workload } from "./records.js";

/** The sample node of the ancestor's listing: every value measured, known and believed. */
export const FULL: Partial<Beacon> = {
  node: "node-1",
  latency: { us: 12_350, source: "measured" },
  jitterUs: 1_000,
  lossRatio: 0,
  queueDepth: 3,
  priceMicroUsdPerGb: 10_000,
  capabilities: ["vm", "container"],
};
/** A beacon of which nothing is known but that it is one. */
export type Known = "latency" | "jitterUs" | "lossRatio" | "queueDepth" | "priceMicroUsdPerGb" | "declaredReputation";

export interface ViewSpec {
  name?: string;
  /** Seed of the node's key. */
  key?: number;
  beacon?: Partial<Beacon>;
  /** Taken out of the sample. */
  without?: readonly Known[];
  /** Number of them; null: the node has no Nomad. */
  workloads?: number | null;
  view?: Partial<NodeView>;
  /** Of beacon and state; readers with a real clock need a recent one. */
  issuedAtMs?: number;
}

export function fullView({ name = "node-1", key = 1, beacon = {}, without = [], workloads = 2, view = {}, issuedAtMs = NOW_MS }: ViewSpec = {}): NodeView {
  const by = identity(key);
  // verifiedBeacon has values of its own for what is left out here, so that absence must be said.
  const absent = Object.fromEntries(without.map((field) => [field, undefined]));
  const record = { ...FULL, node: name, issuedAtMs, ...beacon, ...absent } as Partial<Beacon>;
  return {
    name,
    id: `5f3a2b1c-0000-4000-8000-${String(key).padStart(12, "0")}`,
    address: `192.0.2.${String(key)}`,
    datacenter: "dc1",
    trust: "pinned",
    alive: true,
    beacon: verifiedBeacon(record, by),
    state: stateOf(name, workloads, issuedAtMs, by),
    reputation: { score: 1, observers: 3 },
    ...view,
  };
}

/** In Consul's catalog, and nothing more. */
export function bareView(name: string, view: Partial<NodeView> = {}): NodeView {
  return { name, id: "9e8d7c6b-0000-4000-8000-000000000000", address: "192.0.2.99", datacenter: "dc1", trust: "no-sidecar", ...view };
}

/** Without its reputation: what nobody has observed yet. */
export function unobserved(view: NodeView): NodeView {
  const { reputation: _, ...rest } = view;
  return rest;
}

function stateOf(node: string, workloads: number | null, issuedAtMs: number, by: ReturnType<typeof identity>): Verified<NodeState> {
  const listed = workloads === null ? undefined : Array.from({ length: workloads }, (_, i) => workload(i + 1));
  return verifiedState({ node, issuedAtMs, workloads: listed } as Partial<NodeState>, by);
}
