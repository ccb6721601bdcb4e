/**
 * ed25519 public keys: which may be enrolled, and how people see them. A small-order key makes one constant
 * signature pass for every message, in node:crypto and in ZIP-215 verification alike, and a key with a torsion
 * component lets its owner make verifiers disagree; so both are refused once, at admission, by @noble/ed25519
 * in strict mode (some 4 ms). After that, one verifier for the fleet: node:crypto, with the key object cached.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { Point } from "@noble/ed25519";

export const KEY_BYTES = 32;

export interface AdmittedKey {
  bytes: Uint8Array;
  /** Lower-case hex of the whole key: what state is keyed by. */
  hex: string;
  verifier: KeyObject;
}

export type KeyFault = "not-32-bytes" | "not-canonical" | "small-order" | "torsion";

/** RFC 8410: SubjectPublicKeyInfo of an ed25519 key is this prefix and the 32 bytes. */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Hex of the first 8 bytes: what people see. Its collisions cost 2^32 work, so nothing is keyed by it. */
export function beaconId(publicKey: Uint8Array): string {
  return Buffer.from(publicKey.subarray(0, 8)).toString("hex");
}

/** The full admission check, uncached. Null when the key is sound. */
export function keyFault(key: Uint8Array): KeyFault | null {
  if (key.length !== KEY_BYTES) return "not-32-bytes";
  let point: Point;
  try {
    point = Point.fromBytes(key, false); // RFC 8032: y < p, and no sign bit on x = 0
  } catch {
    return "not-canonical";
  }
  if (point.isSmallOrder()) return "small-order";
  return point.isTorsionFree() ? null : "torsion";
}

/** Remembers verdicts, good and bad, for the `capacity` keys seen last. */
export class KeyAdmission {
  readonly #verdicts = new Map<string, AdmittedKey | KeyFault>();

  constructor(private readonly capacity = 20_000) {}

  admit(key: Uint8Array): AdmittedKey | KeyFault {
    if (key.length !== KEY_BYTES) return "not-32-bytes";
    const hex = Buffer.from(key).toString("hex");
    const known = this.#verdicts.get(hex);
    const verdict = known ?? this.#judge(key, hex);
    this.#verdicts.delete(hex); // re-inserted last: eviction takes the one unused for longest
    this.#verdicts.set(hex, verdict);
    if (this.#verdicts.size > this.capacity) {
      const oldest = this.#verdicts.keys().next();
      if (oldest.done !== true) this.#verdicts.delete(oldest.value);
    }
    return verdict;
  }

  #judge(key: Uint8Array, hex: string): AdmittedKey | KeyFault {
    const fault = keyFault(key);
    if (fault !== null) return fault;
    const der = Buffer.concat([SPKI_PREFIX, key]);
    return { bytes: Uint8Array.from(key), hex, verifier: createPublicKey({ key: der, format: "der", type: "spki" }) };
  }
}
