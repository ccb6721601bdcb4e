/**
 * The nodes of a beacon network as one of its servers knows them: whose key may speak for which node is said by the signed
 * allow-lists of the member clusters' operators; what a node says is verified here, and the newest is kept. Pure but for
 * its memory, which those lists bound.
 */
import type { KeyObject } from "node:crypto";
import { ATTESTATION } from "../../beacon/attestation.js";
import type { AllowList } from "../../beacon/allow-list.js";
import { BEACON, DEFAULT_SKEW_MS, keyIn, seal } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { merkleTree } from "../../beacon/merkle.js";
import { leafOf, type Member, NETWORK_ROOT, openMember, type Statement } from "../../beacon/network-record.js";
import { compareOrder } from "../../beacon/record.js";
import type { RejectReason } from "../../beacon/rejection.js";
import type { Clock } from "../clock.js";
import type { Nonces } from "./nonces.js";

/** `flood` is counted by the server; all others are found here. */
export const NETWORK_REFUSALS = [
  "oversized", "malformed-envelope", "wrong-purpose", "bad-key", "bad-signature", "malformed-payload", "wrong-node",
  "issued-in-future", "expired", "superseded", "equivocation", "unknown-node", "wrong-nonce", "replay", "flood",
] as const satisfies readonly (RejectReason | "wrong-nonce" | "replay" | "flood")[];
export type NetworkRefusal = (typeof NETWORK_REFUSALS)[number];

export type Stated = { ok: true; member: Member } | { ok: false; reason: NetworkRefusal; detail: string };

export interface ListedMembers {
  sealedRoot: Uint8Array;
  /** In the order of datacenter and node: the order of the leaves. */
  members: readonly { member: Member; proof: readonly Uint8Array[] }[];
}

/** A listing is signed once for all who ask within this. */
const LIST_FOR_MS = 1_000;

interface Place {
  node: string;
  datacenter: string;
}

export class NetworkBook {
  /** By the whole key's hex: for whom it may speak. */
  #places: ReadonlyMap<string, Place> = new Map();
  readonly #members = new Map<string, Member>();
  #listed: { atMs: number; listing: ListedMembers } | undefined;

  constructor(
    private readonly deps: {
      lists: readonly AllowList[];
      keys: KeyAdmission;
      nonces: Pick<Nonces, "isFresh">;
      identity: { publicKey: Uint8Array; privateKey: KeyObject };
      clock: Pick<Clock, "nowMs" | "monoMs">;
    },
  ) {
    this.admit(deps.lists);
  }

  /** These lists count from now on: whom none of them names any more is not listed, and not heard again. */
  admit(lists: readonly AllowList[]): void {
    this.#places = new Map(lists.flatMap(({ datacenter, nodes }) => nodes.map(({ node, publicKey }) => [publicKey, { node, datacenter }] as const)));
    for (const [key, { beacon }] of this.#members) {
      const place = this.#places.get(key);
      if (place?.node !== beacon.record.node || place.datacenter !== beacon.record.datacenter) this.#members.delete(key);
    }
    this.#listed = undefined;
  }

  /** Hex of every key that a list names. */
  get admitted(): ReadonlySet<string> {
    return new Set(this.#places.keys());
  }

  get size(): number {
    return this.#members.size;
  }

  /** A node's own word, over a nonce of this server. Never throws on any bytes. */
  state(statement: Statement): Stated {
    const opened = this.#open(statement);
    if (!opened.ok) return opened;
    const { member } = opened;
    if (!this.deps.nonces.isFresh(member.attestation.record.nonce)) return refuse("wrong-nonce", "the attestation answers no nonce of this server, or one that is over");
    const held = this.#members.get(member.beacon.key.hex);
    if (held !== undefined) {
      const order = compareOrder(member.beacon.record, held.beacon.record);
      if (order < 0) return refuse("superseded", "an older record than the one held");
      if (order === 0) return member.beacon.hash === held.beacon.hash ? refuse("replay", "this record was stated before") : refuse("equivocation", "two beacons with one sequence");
    }
    this.#members.set(member.beacon.key.hex, member);
    return opened;
  }

  /** What another server of this network took in: newer than what is held, or of no use. */
  adopt(statement: Statement): boolean {
    const opened = this.#open(statement);
    if (!opened.ok) return false;
    const { beacon } = opened.member;
    const held = this.#members.get(beacon.key.hex);
    if (held !== undefined && compareOrder(beacon.record, held.beacon.record) <= 0) return false;
    this.#members.set(beacon.key.hex, opened.member);
    return true;
  }

  /** Everyone whose beacon is within its validity. */
  list(): ListedMembers {
    const { clock, identity } = this.deps;
    const monoMs = clock.monoMs();
    if (this.#listed !== undefined && monoMs - this.#listed.atMs < LIST_FOR_MS) return this.#listed.listing;
    const nowMs = clock.nowMs();
    const live = [...this.#members.values()]
      .filter(({ beacon: { record } }) => nowMs - record.issuedAtMs <= record.validityMs)
      .sort((a, b) => (placeText(a.beacon.record) < placeText(b.beacon.record) ? -1 : 1));
    const { root, proofs } = merkleTree(live.map(leafOf));
    const listing = {
      sealedRoot: seal(NETWORK_ROOT, { issuedAtMs: nowMs, count: live.length, root }, identity),
      members: live.map((member, i) => ({ member, proof: proofs[i] ?? [] })),
    };
    this.#listed = { atMs: monoMs, listing };
    return listing;
  }

  /** Whom the key may speak for is asked first: nobody else costs a verification. */
  #open(statement: Statement): Stated {
    const { keys, clock } = this.deps;
    const { sealedBeacon, sealedAttestation } = statement;
    if (sealedBeacon.length > BEACON.maxBytes || sealedAttestation.length > ATTESTATION.maxBytes) {
      return refuse("oversized", `${String(sealedBeacon.length)} and ${String(sealedAttestation.length)} bytes; at most ${String(BEACON.maxBytes)} and ${String(ATTESTATION.maxBytes)}`);
    }
    const key = keyIn(BEACON, sealedBeacon);
    if (key === null) return refuse("malformed-envelope", "no sealed beacon");
    const place = this.#places.get(Buffer.from(key).toString("hex"));
    if (place === undefined) return refuse("unknown-node", "no allow-list of this network names the key");
    const opened = openMember(statement, { keys, nowMs: clock.nowMs(), skewMs: DEFAULT_SKEW_MS, ...place });
    // The reasons that open() has for a beacon and an attestation are all among these.
    return opened.ok ? opened : refuse(opened.reason as NetworkRefusal, opened.detail);
  }
}

function refuse(reason: NetworkRefusal, detail: string): Extract<Stated, { ok: false }> {
  return { ok: false, reason, detail };
}

function placeText({ datacenter, node }: Place): string {
  return `${datacenter}/${node}`;
}
