/**
 * This node in a beacon network: it states its newest beacon each beat, and takes the other clusters' nodes from the
 * network's listing. Each is verified here: signatures, age, and that it stands under the root that the network signed.
 * That a key is its node's is the network's word, which is why such nodes are `federated` and not believed.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { BEACON, DEFAULT_SKEW_MS, openStatement, type Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import { isIncluded } from "../beacon/merkle.js";
import { leafOf, NETWORK_ROOT, openMember, type Statement } from "../beacon/network-record.js";
import { federatedName, type NodeView } from "../beacon/node-view.js";
import type { Beacon } from "../beacon/record.js";
import type { Attestor } from "./attestor.js";
import type { Clock } from "./clock.js";
import type { Sealed } from "./sealer.js";

export interface NetworkListing {
  sealedRoot: Uint8Array;
  nodes: readonly (Statement & { index: number; proof: readonly Uint8Array[] })[];
}

/** A connection; every call rejects where it has ended. */
export interface NetworkSession {
  /** Empty asks for a nonce; resolves with the next one. */
  state(statement: { sealed_beacon?: Uint8Array; sealed_attestation?: Uint8Array }): Promise<Uint8Array>;
  list(): Promise<NetworkListing>;
  close(): void;
}

export interface FederationObserver {
  stated(): void;
  /** How many nodes of other clusters stood the checks, and how many did not. */
  listed(nodes: number, refused: number): void;
  networkKey(hex: string): void;
}

/** Beats between two listings. */
const LIST_EVERY = 3;
const BATCH = 8;

export class Federation {
  #nodes: readonly Verified<Beacon>[] = [];
  #networkKey: string | undefined;

  constructor(
    private readonly deps: {
      /** Throws where the endpoint cannot be used at all. */
      connect: (signal: AbortSignal) => NetworkSession;
      sealed: () => Sealed | undefined;
      attestor: Pick<Attestor, "attest">;
      keys: KeyAdmission;
      clock: Pick<Clock, "nowMs" | "sleep">;
      beatMs: number;
      /** Hex of the keys that the network may sign with; empty: the one that is seen first. */
      networkKeys: readonly string[];
      observer: FederationObserver;
    },
  ) {}

  /** Nodes of other clusters that stood the checks. */
  get size(): number {
    return this.#nodes.length;
  }

  /** Until the connection fails or the signal aborts; `connected` is called for each statement that was taken. */
  async session(signal: AbortSignal, connected: () => void): Promise<void> {
    const { connect, sealed, attestor, clock, beatMs, observer } = this.deps;
    const network = connect(signal);
    try {
      let nonce = await network.state({});
      let last = "";
      for (let beat = 0; !signal.aborted; await clock.sleep(beatMs, signal)) {
        const own = sealed();
        if (own === undefined || own.beacon.hash === last) continue;
        const { sealed: attestation } = attestor.attest({ nodeId: "", type: "STATE_HASH", nonce, workload: "" });
        nonce = await network.state({ sealed_beacon: own.beacon.sealed, sealed_attestation: attestation });
        last = own.beacon.hash;
        observer.stated();
        connected();
        if (beat++ % LIST_EVERY === 0) await this.take(await network.list(), own.beacon.record.datacenter);
      }
    } finally {
      network.close();
    }
  }

  /** Rejects where the root does not stand: nothing of such a listing is used. */
  async take({ sealedRoot, nodes }: NetworkListing, ownDatacenter: string): Promise<void> {
    const { keys, clock, observer } = this.deps;
    const opened = openStatement(NETWORK_ROOT, sealedRoot, keys);
    if (!opened.ok) throw new Error(`the network's root: ${opened.reason}: ${opened.detail}`);
    const { record, key } = opened.signed;
    if (this.deps.networkKeys.length > 0 ? !this.deps.networkKeys.includes(key.hex) : key.hex !== (this.#networkKey ?? key.hex)) {
      throw new Error(`the network's root is signed by ${key.hex}, which is not the key that is expected`);
    }
    if (this.#networkKey === undefined) observer.networkKey((this.#networkKey = key.hex));
    const taken: Verified<Beacon>[] = [];
    let refused = 0;
    for (const [at, node] of nodes.entries()) {
      if (at % BATCH === BATCH - 1) await nextTurn(); // a new key takes milliseconds
      const told = openStatement(BEACON, node.sealedBeacon, keys);
      const member = told.ok ? openMember(node, { keys, nowMs: clock.nowMs(), skewMs: DEFAULT_SKEW_MS, datacenter: told.signed.record.datacenter }) : told;
      if (!member.ok || !isIncluded(leafOf(member.member), node.index, record.count, node.proof, record.root)) refused += 1;
      else if (member.member.beacon.record.datacenter !== ownDatacenter) taken.push(member.member.beacon);
    }
    this.#nodes = taken;
    observer.listed(taken.length, refused);
  }

  /** What Consul lists stays in front: a name that is taken there is not shown twice. */
  views(local: readonly NodeView[]): NodeView[] {
    const names = new Set(local.map(({ name }) => name));
    const nowMs = this.deps.clock.nowMs();
    return this.#nodes
      .filter(({ record }) => nowMs - record.issuedAtMs <= record.validityMs && !names.has(federatedName(record)))
      .map((beacon) => ({ name: federatedName(beacon.record), id: "", address: "", datacenter: beacon.record.datacenter, trust: "federated", beacon }));
  }
}
