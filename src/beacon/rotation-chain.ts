/**
 * Which rotations of one node are followed from a key that is believed. Pure, and the same whatever the order in which
 * the rotations were read:
 *
 *   K0 --epoch 7--> K1 --epoch 9--> K2          followed to K2; the epochs rise
 *   K1 --epoch 9--> K2 and K1 --epoch 9--> K3   a fork: whoever holds K1 signed twice; nobody is followed past K1
 *   K2 --epoch 11--> K0                         a loop: a key that was given up does not come back
 */
import type { Rotation } from "./rotation.js";

export interface Chain {
  /** In order, from the key that was asked about on. */
  steps: readonly Rotation[];
  /** Two rotations of the last key of the steps (or of the first key) to different keys. */
  fork?: readonly [Rotation, Rotation];
}

/** `from`: hex of a believed key; `given`: keys that the node had before it, which never come back. */
export function chainFrom(from: string, rotations: readonly Rotation[], given: readonly string[] = []): Chain {
  const steps: Rotation[] = [];
  const seen = new Set([...given, from]);
  let at = from;
  // Only a hand-over by a key that was the node's: anybody can sign one from a key of his own to a key that he stole.
  let epoch = Math.max(0, ...rotations.filter(({ oldKey, newKey }) => newKey === from && given.includes(oldKey)).map((step) => step.epoch));
  for (;;) {
    const next = rotations.filter((rotation) => rotation.oldKey === at && rotation.epoch > epoch && !seen.has(rotation.newKey));
    const [first] = next;
    if (first === undefined) return { steps };
    const other = next.find(({ newKey }) => newKey !== first.newKey);
    if (other !== undefined) return { steps, fork: inOrder(first, other) };
    const step = next.reduce((a, b) => (a.epoch <= b.epoch ? a : b)); // the same hand-over, stated twice
    steps.push(step);
    seen.add(step.newKey);
    at = step.newKey;
    epoch = step.epoch;
  }
}

/** The keys that led to `key`, oldest first; none beyond a fork, where two keys claim one past. */
export function keysBefore(key: string, rotations: readonly Rotation[]): string[] {
  const before: string[] = [];
  let at = key;
  let epoch = Number.POSITIVE_INFINITY;
  for (;;) {
    const into = rotations.filter((rotation) => rotation.newKey === at && rotation.epoch < epoch);
    const [step] = into;
    if (step === undefined || into.some(({ oldKey }) => oldKey !== step.oldKey)) return before;
    if (step.oldKey === key || before.includes(step.oldKey) || forkAt(step.oldKey, rotations) !== undefined) return before;
    before.unshift(step.oldKey);
    at = step.oldKey;
    epoch = step.epoch;
  }
}

/**
 * To each key the first of its chain: what outlives a rotation, such as reputation, is kept by it. A key that two nodes
 * have come to by different ways stands for itself.
 */
export function lineageOf(rotations: readonly Rotation[]): (key: string) => string {
  const first = new Map<string, string>();
  for (const own of byPlace(rotations).values()) {
    for (const { newKey } of own) {
      const root = keysBefore(newKey, own)[0] ?? newKey;
      first.set(newKey, (first.get(newKey) ?? root) === root ? root : newKey);
    }
  }
  return (key) => first.get(key) ?? key;
}

/** By datacenter and node. */
export function byPlace(rotations: readonly Rotation[]): Map<string, Rotation[]> {
  const places = new Map<string, Rotation[]>();
  for (const rotation of rotations) {
    const at = `${rotation.datacenter}/${rotation.node}`;
    places.set(at, [...(places.get(at) ?? []), rotation]);
  }
  return places;
}

/** Two rotations of one key to different keys: whoever holds it signed both. */
export function forkAt(oldKey: string, rotations: readonly Rotation[]): readonly [Rotation, Rotation] | undefined {
  const from = rotations.filter((rotation) => rotation.oldKey === oldKey).sort((a, b) => (a.newKey < b.newKey ? -1 : 1));
  const [first, last] = [from[0], from.at(-1)];
  return first === undefined || last === undefined || first.newKey === last.newKey ? undefined : [first, last];
}

/** So that every reader names the same pair the same way. */
function inOrder(a: Rotation, b: Rotation): readonly [Rotation, Rotation] {
  return a.newKey < b.newKey ? [a, b] : [b, a];
}
