/**
 * The names of capabilities and the bits that stand for the known ones in a sealed beacon, where every byte counts.
 * Not how they are detected (src/sidecar/readings/capabilities.ts). A bit, once given, is never given to another name:
 * old records would change their meaning.
 */

/** How a capability is named: short, lower case, fit for a tag and a DNS label's worth of text. */
export const CAPABILITY_NAME_RULE = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/** Name by bit number. Append only, at most 32: the wire field is a uint32. */
export const KNOWN_CAPABILITIES = [
  "container",
  "vm",
  "docker",
  "podman",
  "exec",
  "raw_exec",
  "java",
  "qemu",
  "kvm",
  "wasm",
  "gpu",
  "placer",
] as const;

const BIT_OF: ReadonlyMap<string, number> = new Map(KNOWN_CAPABILITIES.map((name, bit) => [name, bit]));

export interface CapabilityBits {
  /** An unsigned 32-bit set: bit n is KNOWN_CAPABILITIES[n]. */
  bits: number;
  /** The names that have no bit, sorted and unique. */
  others: string[];
}

export function isCapabilityName(name: string): boolean {
  return CAPABILITY_NAME_RULE.test(name);
}

/** Names sorted by code unit, each once: the one order in which they are shown, compared and sealed. */
export function canonicalCapabilities(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

/** Order and repetition of `names` do not matter. RangeError for a name that breaks the rule. */
export function toBits(names: Iterable<string>): CapabilityBits {
  let bits = 0;
  const others: string[] = [];
  for (const name of canonicalCapabilities(names)) {
    const bit = BIT_OF.get(name);
    if (bit !== undefined) bits = (bits | (1 << bit)) >>> 0;
    else if (isCapabilityName(name)) others.push(name);
    else throw new RangeError(`capability ${JSON.stringify(name)} does not match ${String(CAPABILITY_NAME_RULE)}`);
  }
  return { bits, others };
}

/** The inverse of toBits. Bits above the table belong to a newer release, whose names are not ours to guess: ignored. */
export function fromBits(bits: number, others: Iterable<string> = []): string[] {
  const known = KNOWN_CAPABILITIES.filter((_, bit) => (bits & (1 << bit)) !== 0);
  return canonicalCapabilities([...known, ...others]);
}
