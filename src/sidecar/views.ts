/** Puts together what a reader shows of each node: Consul's nodes, the registry's records, the states from KV. */
import { isBelieved, isShown, type NodeView } from "../beacon/node-view.js";
import type { PinBook } from "../beacon/pins.js";
import type { Registry, TrustState } from "../beacon/registry.js";
import type { CatalogNode } from "./consul-api.js";
import type { Intake } from "./intake.js";
import { KEY_WAITING } from "./key-judge.js";
import type { StateVerdict } from "./state-reader.js";

export interface ViewSources {
  nodes: readonly CatalogNode[];
  /** Names of the nodes whose catalog shows a sidecar, and whether it is alive. */
  sidecars: ReadonlyMap<string, boolean>;
  registry: Registry;
  pins: Pick<PinBook, "rotationsOf">;
  intake: Pick<Intake, "lastRejection" | "waits">;
  states: ReadonlyMap<string, StateVerdict>;
  monoMs: number;
}

/** One view for each Consul node, in the order of their names. */
export function viewsOf(sources: ViewSources): NodeView[] {
  return [...sources.nodes].sort((a, b) => (a.node < b.node ? -1 : 1)).map((node) => viewOfNode(node, sources));
}

function viewOfNode(node: CatalogNode, sources: ViewSources): NodeView {
  const view: NodeView = {
    name: node.node,
    id: node.nodeId,
    address: node.address,
    datacenter: node.datacenter,
    ...trustIn(node.node, sources),
  };
  const alive = sources.sidecars.get(node.node);
  if (alive !== undefined) view.alive = alive;
  const entry = sources.registry.byNode(node.node);
  if (entry === undefined || !isShown(view.trust)) return view;
  view.beacon = entry.verified;
  const rotations = sources.pins.rotationsOf(node.node, node.datacenter);
  if (rotations.at(-1)?.newKey === entry.verified.key.hex) view.rotations = rotations;
  const state = sources.states.get(node.node);
  if (state?.ok === true && state.verified.key.hex === entry.verified.key.hex) view.state = state.verified;
  else if (state !== undefined) view.detail = state.ok ? "its state in KV is signed by another key" : `its state in KV: ${state.reason}: ${state.detail}`;
  return view;
}

function trustIn(node: string, { registry, intake, sidecars, monoMs }: ViewSources): { trust: TrustState; detail?: string } {
  const entry = registry.byNode(node);
  // A rejected newcomer does not unseat the pinned node, but a node that shows only rejected records is not believed.
  if (entry !== undefined) {
    if (isBelieved(entry.trust) && monoMs > entry.expiresMs) return { trust: "expired" };
    if (entry.trust === "equivocation") return { trust: "equivocation", detail: `also signed ${entry.evidence?.hash ?? "another record"} with the same sequence` };
    return { trust: entry.trust, ...(entry.detail === undefined ? {} : { detail: entry.detail }) };
  }
  const quarantined = registry.quarantined().find((q) => q.node === node);
  if (quarantined !== undefined) return { trust: quarantined.reason as TrustState, detail: quarantined.detail };
  if (!sidecars.has(node)) return { trust: "no-sidecar" }; // what was rejected there before went with the service
  if (intake.waits(node)) return { trust: "unverified", detail: KEY_WAITING.detail };
  const rejection = intake.lastRejection(node);
  if (rejection === undefined) return { trust: "unverified", detail: "no record of it was read yet" };
  return { trust: rejection.reason === "expired" ? "expired" : "unverified", detail: `${rejection.reason}: ${rejection.detail}` };
}
