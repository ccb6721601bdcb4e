/**
 * ed25519 public keys: which may be enrolled, and how people see them. A small-order key makes one constant
 * signature pass for every message, in node:crypto and in ZIP-215 verification alike, and a key with a torsion
 * component lets its owner make verifiers disagree; so both are refused once, at admission, by @noble/ed25519
 * in strict mode. After that, one verifier for the fleet: node:crypto, with the key object cached. The torsion check
 * takes milliseconds: `admit` makes it in place, a daemon has it made elsewhere and `settle`s it (sidecar/key-judge.ts).
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

/** SubjectPublicKeyInfo in PEM, as OpenSSL reads it. Throws where the bytes are no ed25519 key. */
export function publicKeyPem(publicKey: Uint8Array): string {
  const der = Buffer.concat([SPKI_PREFIX, publicKey]);
  return createPublicKey({ key: der, format: "der", type: "spki" }).export({ format: "pem", type: "spki" }).toString();
}

/** Everything but torsion, in a fraction of a millisecond. Null when nothing is wrong so far. */
function encodingFault(key: Uint8Array): Exclude<KeyFault, "torsion"> | null {
  if (key.length !== KEY_BYTES) return "not-32-bytes";
  const point = pointOf(key);
  if (point === null) return "not-canonical";
  return point.isSmallOrder() ? "small-order" : null;
}

/** The full admission check, uncached. Null when the key is sound. */
export function keyFault(key: Uint8Array): KeyFault | null {
  return encodingFault(key) ?? (pointOf(key)?.isTorsionFree() === true ? null : "torsion");
}

function pointOf(key: Uint8Array): Point | null {
  try {
    return Point.fromBytes(key, false); // RFC 8032: y < p, and no sign bit on x = 0
  } catch {
    return null;
  }
}

/** Remembers what was costly to find out, good and bad, for the `capacity` keys seen last. */
export class KeyAdmission {
  readonly #verdicts = new Map<string, AdmittedKey | "torsion">();

  constructor(private readonly capacity = 20_000) {}

  /** The verdict, made in place where it is not known. */
  admit(key: Uint8Array): AdmittedKey | KeyFault {
    return this.known(key) ?? this.settle(key, keyFault(key) === null);
  }

  /** The verdict, where it is known or cheap; undefined where only the torsion check is missing. */
  known(key: Uint8Array): AdmittedKey | KeyFault | undefined {
    const hex = Buffer.from(key).toString("hex");
    const verdict = this.#verdicts.get(hex);
    if (verdict === undefined) return encodingFault(key) ?? undefined;
    this.#remember(hex, verdict);
    return verdict;
  }

  /** Takes in the verdict on a key that `known` had none of. */
  settle(key: Uint8Array, sound: boolean): AdmittedKey | "torsion" {
    const hex = Buffer.from(key).toString("hex");
    return this.#remember(hex, sound ? { bytes: Uint8Array.from(key), hex, verifier: verifierOf(key) } : "torsion");
  }

  #remember<V extends AdmittedKey | "torsion">(hex: string, verdict: V): V {
    this.#verdicts.delete(hex); // re-inserted last: eviction takes the one unused for longest
    this.#verdicts.set(hex, verdict);
    if (this.#verdicts.size > this.capacity) {
      const oldest = this.#verdicts.keys().next();
      if (oldest.done !== true) this.#verdicts.delete(oldest.value);
    }
    return verdict;
  }
}

function verifierOf(key: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), format: "der", type: "spki" });
}
