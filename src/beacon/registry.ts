/**
 * The nodes that this reader believes, and why it does not believe the others. Only Verified records enter, one for each
 * node, so that a key that speaks for two nodes hides neither; Consul says who lives. Pure but for its memory: times come in as arguments, `monoMs` from the
 * monotonic clock, so that a stepped wall clock neither ages nor renews a record.
 *
 *   (none) --admit--> held --age > validity--> expired --retention--> (none)
 *             |         \--newer record--> held
 *             \--other key / same order, other bytes--> quarantined (the earlier record stays)
 */
import type { Signed, Verified } from "./envelope.js";
import { type Contradiction, equivocation, idCollision } from "./evidence.js";
import type { PinJudge, PinVerdict } from "./pins.js";
import { type Beacon, compareOrder, type NodeState } from "./record.js";
import { type RejectReason, reject, type Rejection } from "./rejection.js";

/** How a reader stands to a node. `pinned` and `first-use` are the believed ones. */
export const TRUST_STATES = [
  "pinned", // verified, by the key that was pinned before, or that the operator's list names
  "first-use", // verified, by a key that this reader had not seen before and the cluster has not pinned
  "expired", // was verified; its record is over its validity
  "pin-conflict", // another key than the pinned one speaks, or is pinned in KV, or the pin in KV is gone
  "id-collision", // its 8-byte ID belongs to another key
  "equivocation", // signed two different records with one sequence
  "unlisted", // allow-list mode: not on the operator's list
  "unverified", // has a sidecar, but no record of it was accepted; in open mode every node, whose record is shown
  "no-sidecar",
  "federated", // of another cluster: well signed, and its key is its node's by the word of the beacon network
] as const; // append only: decisions hold the number
export type TrustState = (typeof TRUST_STATES)[number];

/** Which plane brought the record. */
export type Carrier = "meta" | "kv" | "event" | "self";

export interface Entry {
  verified: Verified<Beacon>;
  trust: TrustState;
  /** Why, where `trust` comes from pins or the list and is not a believed one. */
  detail?: string | undefined;
  /** Monotonic: when this record was received, and when it is over. */
  receivedMs: number;
  expiresMs: number;
  carrier: Carrier;
  /** Consul's word: the node's serf health and the sidecar's TTL. Undefined before Consul said anything. */
  alive: boolean | undefined;
  /** The other record of an equivocation, beside the earlier one: of beacons, or of states. */
  evidence?: Signed<Beacon | NodeState>;
}

export interface Quarantined {
  node: string;
  publicKey: string;
  reason: RejectReason;
  detail: string;
  sinceMs: number;
}

export type Admission = { ok: true; change: "new" | "newer" | "duplicate"; entry: Entry } | Rejection;

export interface Filter {
  maxLatencyUs?: number;
  /** Nodes whose reputation is unknown do not pass a minimum. */
  minReputation?: number;
  /** Only believed, unexpired entries; the default. */
  verifiedOnly?: boolean;
  aliveOnly?: boolean;
  /** Received within this many milliseconds. */
  seenWithinMs?: number;
}

/** A quarantined key is forgotten after this long without another record of it. */
const QUARANTINE_RETENTION_MS = 3_600_000;
/** Bounds what a flood of invented keys can make us remember. */
const MAX_QUARANTINED = 1_000;

export class Registry {
  /** By node. */
  readonly #entries = new Map<string, Entry>();
  readonly #alive = new Map<string, boolean>();
  /** By node and key. */
  readonly #quarantined = new Map<string, Quarantined>();
  /** Keys that were trusted on first use since this process started. */
  readonly #firstSeen = new Set<string>();

  constructor(
    private readonly pins: PinJudge,
    /** Computed by the reader from others' observations; absent until enough of them exist. */
    private readonly reputationOf: (publicKeyHex: string) => number | undefined = () => undefined,
    /** Records that contradict each other: to be kept. */
    private readonly onContradiction: (found: Contradiction) => void = () => {},
  ) {}

  admit(verified: Verified<Beacon>, carrier: Carrier, monoMs: number): Admission {
    const { record, key } = verified;
    const pin = this.pins.judge(record.node, record.datacenter, key.hex);
    const refused = this.#refusedByPin(verified, pin, monoMs);
    if (refused !== null) return refused;
    // Whoever has the gossip key can fire events in any number of names; whom the catalog has, Consul's ACLs bound.
    if (carrier === "event" && pin.kind !== "pinned" && !this.#alive.has(record.node)) {
      return reject("unknown-node", `no service of ${record.node} is in Consul's catalog`);
    }

    const entryOfNode = this.#entries.get(record.node);
    // An entry of another key: that key was given up for this one.
    const held = entryOfNode?.verified.key.hex === key.hex ? entryOfNode : undefined;
    if (held !== undefined) {
      const order = compareOrder(record, held.verified.record);
      if (order < 0) {
        return reject("superseded", `${orderOf(verified)} is older than ${orderOf(held.verified)}`);
      }
      if (order === 0) {
        if (verified.hash === held.verified.hash) return { ok: true, change: "duplicate", entry: held };
        this.#accuse(held, verified);
        this.onContradiction(equivocation("beacon", held.verified, verified));
        return reject("equivocation", `two records of ${record.node} with ${orderOf(verified)}: ${held.verified.hash} and ${verified.hash}`);
      }
    }

    if (pin.kind === "unknown") {
      this.#firstSeen.add(key.hex);
      this.pins.learn([{ node: record.node, datacenter: record.datacenter, publicKey: key.hex, origin: "first-use" }]);
    }
    const entry: Entry = {
      verified,
      ...this.#standing(verified, pin, held),
      receivedMs: monoMs,
      // What is left of the validity, from here on by the monotonic clock. A record from the future of our clock
      // gets no more than its validity.
      expiresMs: monoMs + Math.min(record.validityMs, record.validityMs - verified.ageMs),
      carrier,
      alive: this.#alive.get(record.node),
      ...(held?.evidence === undefined ? {} : { evidence: held.evidence }),
    };
    this.#entries.set(record.node, entry);
    this.#quarantined.delete(speaker(verified));
    return { ok: true, change: held === undefined ? "new" : "newer", entry };
  }

  /** Two states with one sequence, found where states are read: as with two beacons. */
  accuse(earlier: Verified<NodeState>, later: Verified<NodeState>): void {
    const held = this.#entries.get(later.record.node);
    if (held?.verified.key.hex === later.key.hex && held.verified.record.epoch === later.record.epoch) this.#accuse(held, later);
    this.onContradiction(equivocation("state", earlier, later));
  }

  /** Consul's word on every node that runs a sidecar; nodes it does not name are no longer alive. */
  setLiveness(alive: ReadonlyMap<string, boolean>): void {
    this.#alive.clear();
    for (const [node, is] of alive) this.#alive.set(node, is);
    for (const entry of this.#entries.values()) entry.alive = alive.get(entry.verified.record.node) ?? false;
  }

  /** Judges again, since pins and lists change; marks what is over its age; forgets what Consul no longer knows. Returns the nodes that changed. */
  sweep(monoMs: number): { expired: string[]; forgotten: string[] } {
    const expired: string[] = [];
    const forgotten: string[] = [];
    for (const [node, entry] of this.#entries) {
      if (monoMs <= entry.expiresMs) {
        const { record, key } = entry.verified;
        Object.assign(entry, this.#standing(entry.verified, this.pins.judge(node, record.datacenter, key.hex), entry));
        continue;
      }
      if (entry.trust !== "expired" && entry.trust !== "equivocation") {
        entry.trust = "expired";
        expired.push(node);
      }
      if (!this.#alive.has(node)) {
        this.#entries.delete(node);
        forgotten.push(node);
      }
    }
    for (const [id, q] of this.#quarantined) {
      if (monoMs - q.sinceMs > QUARANTINE_RETENTION_MS) this.#quarantined.delete(id);
    }
    return { expired, forgotten };
  }

  byNode(node: string): Entry | undefined {
    return this.#entries.get(node);
  }

  /** Entries that pass, in the order of their whole keys, then of their nodes. */
  list(filter: Filter, monoMs: number): Entry[] {
    return [...this.#entries.values()]
      .filter((entry) => passes(entry, filter, monoMs, this.reputationOf))
      .sort((a, b) => (speaker(a.verified) < speaker(b.verified) ? -1 : 1));
  }

  quarantined(): Quarantined[] {
    return [...this.#quarantined.values()];
  }

  get size(): number {
    return this.#entries.size;
  }

  #accuse(held: Entry, other: Signed<Beacon | NodeState>): void {
    held.evidence = other;
    held.trust = "equivocation";
  }

  #standing(verified: Verified<Beacon>, pin: PinVerdict, held: Entry | undefined): { trust: TrustState; detail: string | undefined } {
    const { node, datacenter } = verified.record;
    // A liar does not become honest by going on: only a new epoch, a restart, clears the flag.
    if (held?.trust === "equivocation" && held.verified.record.epoch === verified.record.epoch) return { trust: "equivocation", detail: held.detail };
    switch (pin.kind) {
      case "open":
        return { trust: "unverified", detail: "open mode: well signed, and nothing says that the key is the node's" };
      case "unlisted":
        return { trust: "unlisted", detail: pin.detail };
      case "superseded-key": // nothing newer was said yet by the key that took its place
        return { trust: held?.trust ?? "unverified", detail: held?.detail };
      case "forked":
        return { trust: "equivocation", detail: detailOf(verified, pin) };
      case "pin-conflict":
      case "id-collision": // held from before the pins or the list changed
        return { trust: pin.kind, detail: detailOf(verified, pin) };
      default: {
        const dispute = this.pins.dispute(node, datacenter);
        if (dispute !== undefined) return { trust: "pin-conflict", detail: dispute };
        const isFirstUse = pin.kind === "unknown" || (this.#firstSeen.has(verified.key.hex) && pin.origin === "first-use");
        return { trust: isFirstUse ? "first-use" : "pinned", detail: undefined };
      }
    }
  }

  #refusedByPin(verified: Verified<Beacon>, pin: PinVerdict, monoMs: number): Rejection | null {
    if (pin.kind === "unknown" || pin.kind === "pinned" || pin.kind === "unlisted" || pin.kind === "open") return null;
    const { node } = verified.record;
    // What it said while the key was its own stands until the new key speaks, or until it is over its age.
    if (pin.kind === "superseded-key") return reject("superseded-key", `${node} rotated this key away; it speaks by ${pin.current}`);
    if (pin.kind === "id-collision") {
      const held = this.#entries.get(pin.node)?.verified;
      this.onContradiction(idCollision(pin.pinned, held?.key.hex === pin.pinned ? held : undefined, verified));
    }
    const reason = pin.kind === "forked" ? "equivocation" : pin.kind;
    const detail = detailOf(verified, pin);
    if (this.#quarantined.size < MAX_QUARANTINED || this.#quarantined.has(speaker(verified))) {
      this.#quarantined.set(speaker(verified), {
        node,
        publicKey: verified.key.hex,
        reason,
        detail,
        sinceMs: monoMs,
      });
    }
    return reject(reason, detail);
  }
}

function passes(entry: Entry, filter: Filter, monoMs: number, reputationOf: (hex: string) => number | undefined): boolean {
  const { record, key } = entry.verified;
  const believed = entry.trust === "pinned" || entry.trust === "first-use";
  if ((filter.verifiedOnly ?? true) && !(believed && monoMs <= entry.expiresMs)) return false;
  if (filter.aliveOnly === true && entry.alive !== true) return false;
  if (filter.seenWithinMs !== undefined && monoMs - entry.receivedMs > filter.seenWithinMs) return false;
  // Unknown never passes a limit: the ancestor's isolated node looked best because its latency read as 0.
  if (filter.maxLatencyUs !== undefined && !(record.latency !== undefined && record.latency.us <= filter.maxLatencyUs)) return false;
  if (filter.minReputation !== undefined && !((reputationOf(key.hex) ?? -1) >= filter.minReputation)) return false;
  return true;
}

function detailOf({ record, key }: Verified<Beacon>, pin: Extract<PinVerdict, { pinned: string }>): string {
  if (pin.kind === "forked") return `key ${pin.pinned} of ${record.node} was rotated to two keys, ${pin.to[0]} and ${pin.to[1]}`;
  return pin.kind === "pin-conflict"
    ? `${record.node} is pinned to key ${pin.pinned}; this record is signed by ${pin.found}`
    : `key ${key.hex} has the 8-byte ID of ${pin.node}'s key ${pin.pinned}`;
}

/** Who speaks, and for whom. */
function speaker({ key, record }: Verified<Beacon>): string {
  return `${key.hex} ${record.node}`;
}

function orderOf(verified: Verified<Beacon>): string {
  return `epoch ${String(verified.record.epoch)} sequence ${String(verified.record.sequence)}`;
}
