/**
 * Pins: which key speaks for which node. A pin is learned once, from the cluster's KV or from the first verified
 * record (trust on first use), and kept; another key for the same node is a conflict until somebody settles it.
 * Consul's ACLs have no create-only right, so a pin in KV can be rewritten by its writer: the pins that this
 * reader has seen before (its own disk) come first. A pin moves only along the node's own rotations (rotation.ts), and
 * remembers the keys it came by: the first of them names the node's identity. Pure; storage is the caller's.
 */
import { beaconId, KEY_BYTES } from "./keys.js";
import { NAME_RULE } from "./record.js";
import type { Rotation } from "./rotation.js";
import { byPlace, chainFrom, forkAt, keysBefore } from "./rotation-chain.js";

/** `cluster`: read from KV; `first-use`: from the first verified record that this reader saw. */
export type PinOrigin = "cluster" | "first-use";

export interface Pin {
  node: string;
  datacenter: string;
  /** Lower-case hex of the whole key. */
  publicKey: string;
  origin: PinOrigin;
  /** Keys that the node rotated away, oldest first. */
  formerKeys?: readonly string[];
}

/** What verified rotations did to the pins. */
export interface Followed {
  /** Pins that moved to another key. */
  moved: Pin[];
  /** Two rotations of one key of a pinned node. */
  forks: (readonly [Rotation, Rotation])[];
}

export type PinVerdict =
  | { kind: "pinned"; origin: PinOrigin | "operator" }
  | { kind: "unknown" }
  /** Not on the operator's list, where only that counts. */
  | { kind: "unlisted"; detail: string }
  /** Open mode: nothing says whose the key is. */
  | { kind: "open" }
  | { kind: "pin-conflict"; pinned: string; found: string }
  | { kind: "superseded-key"; current: string }
  | { kind: "forked"; pinned: string; to: readonly [string, string] }
  | { kind: "id-collision"; pinned: string; node: string };

/** What the registry asks of a key: the pins alone, or with the operator's list and the mode (trust-policy.ts). */
export interface PinJudge {
  judge(node: string, datacenter: string, publicKeyHex: string): PinVerdict;
  learn(pins: readonly Pin[]): void;
  /** Why the node is in conflict although the held key speaks; undefined where it is not. */
  dispute(node: string, datacenter: string): string | undefined;
}

export class PinBook implements PinJudge {
  readonly #byNode = new Map<string, Pin>();
  readonly #byId = new Map<string, Pin>();
  /** Nodes whose KV pin names another key than the one held, or (null) is gone: shown, and never followed. */
  readonly #disputed = new Map<string, string | null>();
  #version = 0;
  /** Nodes whose pinned key was rotated to two keys: neither is followed, and the key is given up. */
  readonly #forked = new Map<string, readonly [Rotation, Rotation]>();
  /** As they were followed last: what shows others why the pin moved. */
  readonly #rotations = new Map<string, readonly Rotation[]>();

  /** `onLearned` persists; it is called for each new pin. */
  constructor(
    pins: Iterable<Pin>,
    private readonly onLearned: (pins: readonly Pin[]) => void = () => {},
  ) {
    for (const pin of pins) this.#hold(pin);
  }

  /** What the held pins say of a key that claims to speak for a node. */
  judge(node: string, datacenter: string, publicKeyHex: string): PinVerdict {
    const pin = this.#byNode.get(place(node, datacenter));
    if (pin?.formerKeys?.includes(publicKeyHex) === true) return { kind: "superseded-key", current: pin.publicKey };
    const fork = this.#forked.get(place(node, datacenter));
    if (pin !== undefined && fork !== undefined) return { kind: "forked", pinned: pin.publicKey, to: [fork[0].newKey, fork[1].newKey] };
    if (pin !== undefined && pin.publicKey !== publicKeyHex) {
      return { kind: "pin-conflict", pinned: pin.publicKey, found: publicKeyHex };
    }
    const namesake = this.#byId.get(shortId(publicKeyHex));
    if (namesake !== undefined && namesake.publicKey !== publicKeyHex) {
      return { kind: "id-collision", pinned: namesake.publicKey, node: namesake.node };
    }
    return pin === undefined ? { kind: "unknown" } : { kind: "pinned", origin: pin.origin };
  }

  /** Holds a pin for a node that has none. A node that has one keeps it; the difference is then a dispute. */
  learn(pins: readonly Pin[]): void {
    let learned = false;
    for (const pin of pins) {
      const at = place(pin.node, pin.datacenter);
      const held = this.#byNode.get(at);
      if (held === undefined) {
        this.#hold(pin);
        learned = true;
      } else if (held.formerKeys?.includes(pin.publicKey) === true) this.#settle(at); // KV has not moved yet
      else if (held.publicKey !== pin.publicKey) this.#dispute(at, pin.publicKey);
      else {
        this.#settle(at);
        if (held.origin === "first-use" && pin.origin === "cluster") {
          this.#hold({ ...held, origin: "cluster" });
          learned = true;
        }
      }
    }
    if (learned) this.onLearned(this.all());
  }

  /** Moves each pin along the node's rotations to the end of their chain, and no further than a fork. */
  follow(rotations: readonly Rotation[]): Followed {
    const followed: Followed = { moved: [], forks: [] };
    let changed = false;
    for (const [at, own] of byPlace(rotations)) {
      const held = this.#byNode.get(at);
      if (held === undefined) continue;
      this.#rotations.set(at, own);
      const { steps, fork } = chainFrom(held.publicKey, own, held.formerKeys);
      const end = steps.at(-1)?.newKey ?? held.publicKey;
      const formerKeys = [...(held.formerKeys ?? keysBefore(held.publicKey, own)), ...steps.map(({ oldKey }) => oldKey)];
      if (fork === undefined ? this.#forked.delete(at) : this.#forked.get(at)?.[0].newKey !== fork[0].newKey) this.#version += 1;
      if (fork !== undefined) this.#forked.set(at, fork);
      for (const key of [...formerKeys, end]) {
        const pair = forkAt(key, own);
        if (pair !== undefined) followed.forks.push(pair);
      }
      if (formerKeys.length === (held.formerKeys?.length ?? 0)) continue;
      const pin: Pin = { ...held, publicKey: end, formerKeys };
      this.#hold(pin);
      changed = true;
      if (steps.length > 0) followed.moved.push(pin);
      if (this.#disputed.get(at) === end) this.#settle(at);
    }
    if (changed) this.onLearned(this.all());
    return followed;
  }

  /** Whether the node's pin came from this key, along rotations that were verified. */
  cameFrom(node: string, datacenter: string, publicKeyHex: string): boolean {
    return this.#byNode.get(place(node, datacenter))?.formerKeys?.includes(publicKeyHex) === true;
  }

  /** The rotations by which the node's pin came to its key, oldest first; none before one that is not at hand. */
  rotationsOf(node: string, datacenter: string): Rotation[] {
    const at = place(node, datacenter);
    const pin = this.#byNode.get(at);
    const own = this.#rotations.get(at) ?? [];
    const steps: Rotation[] = [];
    let to = pin?.publicKey;
    for (const from of [...(pin?.formerKeys ?? [])].reverse()) {
      const step = own.find(({ oldKey, newKey }) => oldKey === from && newKey === to);
      if (step === undefined) break;
      steps.unshift(step);
      to = from;
    }
    return steps;
  }

  /**
   * The cluster's pins as a whole: learns what is new, disputes what differs, and what this reader has seen there and
   * is gone. Deleting a pin is thus no way back to first use.
   */
  compare(datacenter: string, inCluster: readonly Pin[]): void {
    this.learn(inCluster);
    for (const { node } of this.gone(datacenter, inCluster)) this.#dispute(place(node, datacenter), null);
  }

  /** The held pins that were seen in the cluster and are not among these. */
  gone(datacenter: string, inCluster: readonly Pin[]): Pin[] {
    const there = new Set(inCluster.map(({ node }) => node));
    return this.all().filter((pin) => pin.datacenter === datacenter && pin.origin === "cluster" && !there.has(pin.node));
  }

  isGone(node: string, datacenter: string): boolean {
    return this.#disputed.get(place(node, datacenter)) === null;
  }

  dispute(node: string, datacenter: string): string | undefined {
    const found = this.#disputed.get(place(node, datacenter));
    if (found === undefined) return undefined;
    return found === null ? "its pin, which this reader has seen, is gone from KV" : `KV names key ${found}, this reader has seen another`;
  }

  /** Another set of pins, as an operator edited it: what is not among them is forgotten. */
  replace(pins: Iterable<Pin>): void {
    for (const map of [this.#byNode, this.#byId, this.#disputed, this.#forked, this.#rotations]) map.clear();
    for (const pin of pins) this.#hold(pin);
  }

  /** Another number after each change of what `judge` and `dispute` may answer. */
  get version(): number {
    return this.#version;
  }

  all(): Pin[] {
    return [...this.#byNode.values()];
  }

  #settle(at: string): void {
    if (this.#disputed.delete(at)) this.#version += 1;
  }

  #dispute(at: string, found: string | null): void {
    if (this.#disputed.get(at) === found) return;
    this.#disputed.set(at, found);
    this.#version += 1;
  }

  #hold(pin: Pin): void {
    this.#version += 1;
    this.#byNode.set(place(pin.node, pin.datacenter), pin);
    // The first holder of an 8-byte ID keeps it.
    if (!this.#byId.has(shortId(pin.publicKey))) this.#byId.set(shortId(pin.publicKey), pin);
  }
}

/** The pin as a document for KV and disk. */
export function formatPin(pin: Pin): string {
  return JSON.stringify({ v: 1, node: pin.node, datacenter: pin.datacenter, publicKey: pin.publicKey });
}

/** Null for anything that is not a pin for exactly this place. */
export function parsePin(text: string, expected: { node: string; datacenter: string }): Omit<Pin, "origin"> | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  const pin = readPin(document);
  return pin !== null && pin.node === expected.node && pin.datacenter === expected.datacenter ? pin : null;
}

/** Null unless the value has a pin's shape. */
export function readPin(document: unknown): Omit<Pin, "origin"> | null {
  if (typeof document !== "object" || document === null) return null;
  const { v, node, datacenter, publicKey } = document as Record<string, unknown>;
  if (v !== 1 || typeof node !== "string" || typeof datacenter !== "string" || typeof publicKey !== "string") return null;
  if (!NAME_RULE.test(node) || !NAME_RULE.test(datacenter)) return null;
  return /^[0-9a-f]+$/.test(publicKey) && publicKey.length === KEY_BYTES * 2 ? { node, datacenter, publicKey } : null;
}

function place(node: string, datacenter: string): string {
  return `${datacenter}/${node}`;
}

function shortId(publicKeyHex: string): string {
  return beaconId(Buffer.from(publicKeyHex.slice(0, 16), "hex"));
}
