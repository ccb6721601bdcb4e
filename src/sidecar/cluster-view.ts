/**
 * The cluster as this sidecar serves it. Beacons come from the registry, which the watch loop fills; nodes and
 * states are read when somebody asks, one read for all who ask at once, and not more often than the cadence allows.
 * While Consul does not answer, the last answer stands, and without any it is this node alone.
 */
import type { NodeView } from "../beacon/node-view.js";
import type { PinBook } from "../beacon/pins.js";
import type { Registry } from "../beacon/registry.js";
import type { Clock } from "./clock.js";
import type { CatalogNode, ConsulApi } from "./consul-api.js";
import type { Intake } from "./intake.js";
import type { StateReader, StateVerdict } from "./state-reader.js";
import { viewsOf } from "./views.js";
import { whole } from "./whole-read.js";

export interface Self {
  /** The node as Consul lists it; in standalone mode as it would be listed. */
  node: CatalogNode;
  joined: boolean;
}

interface Snapshot {
  nodes: readonly CatalogNode[];
  states: ReadonlyMap<string, StateVerdict>;
  atMs: number;
}

export class ClusterView {
  #snapshot: Snapshot = { nodes: [], states: new Map(), atMs: Number.NEGATIVE_INFINITY };
  #reading: Promise<void> | undefined;

  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "nodes">;
      registry: Registry;
      pins: PinBook;
      intake: Intake;
      states: StateReader;
      clock: Clock;
      /** Who we are; undefined until the first beat. */
      self: () => Self | undefined;
      /** This node's own state, as it was sealed last: newer than KV, and all there is without Consul. */
      ownState: () => StateVerdict | undefined;
      sidecars: () => ReadonlyMap<string, boolean>;
      minReadMs: () => number;
      /** One outcome for each read: undefined, or why it failed. */
      onRead: (error: unknown) => void;
      /** Nodes of other clusters, to stand behind these. */
      federated?: (local: readonly NodeView[]) => NodeView[];
      /** The same views with the score of each node. */
      score: (views: NodeView[]) => NodeView[];
    },
  ) {}

  /** Never rejects for Consul's sake. */
  async list(): Promise<NodeView[]> {
    const self = this.deps.self();
    if (self === undefined) return [];
    if (self.joined) await this.#refresh(self.node.datacenter);
    const { registry, pins, intake, clock } = this.deps;
    const states = new Map(this.#snapshot.states);
    const own = this.deps.ownState();
    if (own !== undefined) states.set(self.node.node, own);
    const others = self.joined ? this.#snapshot.nodes.filter(({ node }) => node !== self.node.node) : [];
    const sidecars = new Map(this.deps.sidecars()).set(self.node.node, this.deps.sidecars().get(self.node.node) ?? true);
    const local = this.deps.score(viewsOf({ nodes: [self.node, ...others], sidecars, registry, pins, intake, states, monoMs: clock.monoMs() }));
    return [...local, ...(this.deps.federated?.(local) ?? [])];
  }

  async #refresh(datacenter: string): Promise<void> {
    const { clock, minReadMs, onRead } = this.deps;
    if (clock.monoMs() - this.#snapshot.atMs < minReadMs()) return;
    this.#reading ??= this.#read(datacenter)
      .then(() => onRead(undefined), onRead)
      .finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async #read(datacenter: string): Promise<void> {
    const [nodes, states] = await Promise.all([
      whole(this.deps.consul.nodes({ consistency: "stale" }), "catalog.nodes", "node:read"),
      this.deps.states.read(datacenter, { consistency: "stale" }),
    ]);
    this.#snapshot = { nodes: nodes.value, states, atMs: this.deps.clock.monoMs() };
  }
}
