/**
 * Readings to signed records of this node: one beacon and one state a beat, with one (epoch, sequence). What was
 * sealed is opened again as any reader would, so that nothing is published that a reader would refuse.
 */
import { BEACON, DEFAULT_SKEW_MS, open, type Purpose, seal, STATE, type Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import type { Beacon, NodeState, ProofReference, RecordHeader, Workload } from "../beacon/record.js";
import { withBatches } from "../beacon/workload-batches.js";
import { batchesOf, batchNames } from "../beacon/workload-codec.js";
import type { Clock } from "./clock.js";
import type { CatalogNode } from "./consul-api.js";
import type { Readings } from "./node-reader.js";
import type { EpochCounter } from "./state/epoch.js";
import type { Identity } from "./state/identity.js";

export interface Sealed {
  beacon: Verified<Beacon>;
  state: Verified<NodeState>;
}

/** Where this node is probed, its end of its links, the cluster's policy as it applies it, and what it saw of work that it placed. */
export type OwnLinks = Pick<NodeState, "probe" | "links" | "policy" | "workOutcomes">;

export class Sealer {
  constructor(
    private readonly identity: Identity,
    private readonly epoch: EpochCounter,
    private readonly keys: KeyAdmission,
    private readonly clock: Clock,
    private readonly declaredReputation: number,
    /** By allocation. */
    private readonly proofOf: (allocation: string) => ProofReference | undefined = () => undefined,
  ) {}

  /** Throws SealError or RecordError: a record of ours that does not fit, named. */
  seal(who: CatalogNode, readings: Readings, validityMs: number, links: OwnLinks = {}): Sealed {
    const { workloads, coordinate, serfQueueDepth: _, ...headline } = readings;
    const header: RecordHeader = {
      node: who.node,
      datacenter: who.datacenter,
      ...this.epoch.next(),
      issuedAtMs: this.clock.nowMs(),
      validityMs,
    };
    const state: NodeState = { ...header, nodeId: who.nodeId, address: who.address, ...links };
    if (coordinate !== undefined) state.coordinate = coordinate;
    const proved = workloads?.map((workload) => this.#proved(workload));
    const batches = batchesOf(proved ?? []);
    const names = batchNames(batches, proved?.length ?? 0);
    if (names !== undefined) state.batches = names;
    else if (proved !== undefined) state.workloads = proved;
    return {
      beacon: this.#sealOne(BEACON, { ...header, ...headline, declaredReputation: this.declaredReputation }),
      state: this.#whole(this.#sealOne(STATE, state), batches),
    };
  }

  #whole(sealed: Verified<NodeState>, batches: readonly Uint8Array[]): Verified<NodeState> {
    const whole = withBatches(sealed, batches);
    if (!whole.ok) throw new Error(`a state that this node sealed is not whole: ${whole.reason}: ${whole.detail}`);
    return whole.verified;
  }

  #proved(workload: Workload): Workload {
    const proof = this.proofOf(workload.id);
    return proof === undefined ? workload : { ...workload, proof };
  }

  #sealOne<R extends RecordHeader>(purpose: Purpose<R>, record: R): Verified<R> {
    const opened = open(purpose, seal(purpose, record, this.identity), {
      keys: this.keys,
      nowMs: record.issuedAtMs,
      skewMs: DEFAULT_SKEW_MS,
      datacenter: record.datacenter,
      node: record.node,
    });
    if (!opened.ok) throw new Error(`a record that this node sealed does not open: ${opened.reason}: ${opened.detail}`);
    return opened.verified;
  }
}
