/**
 * Keys of authenticated probing. Each node has a static X25519 pair whose public half it signs into
 * its KV state; two nodes derive from it, without a message, one HMAC key for each direction of
 * probing. Two keys and not one, because STAMP does not say on the wire which way a packet goes:
 * with one key an answer of B to A could be played to A's own reflector as a probe of B.
 */
import {
  createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject,
} from "node:crypto";

export const PROBE_KEY_BYTES = 32;
const DOMAIN = "hypercore-ibrl probe hmac v1";

export interface ProbeKeyPair {
  /** The 32 raw octets. */
  publicKey: Uint8Array;
  privateKey: KeyObject;
}

export interface AgreedKeys {
  /** For sessions in which this node is the session-sender. */
  outgoing: Uint8Array;
  /** For sessions in which this node reflects. */
  incoming: Uint8Array;
}

export type Agreement = { ok: true; keys: AgreedKeys } | { ok: false; reason: "key-length" | "own-key" | "weak-key" };

export function generateProbeKeys(): ProbeKeyPair {
  return pairOf(generateKeyPairSync("x25519").privateKey);
}

/** A pair from the 32 raw private octets. Throws a RangeError for any other length. */
export function probeKeysFromPrivate(raw: Uint8Array): ProbeKeyPair {
  if (raw.length !== PROBE_KEY_BYTES) throw new RangeError("an X25519 private key has 32 octets");
  return pairOf(createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, raw]), format: "der", type: "pkcs8" }));
}

/**
 * HKDF-SHA-256 (RFC 5869) over the shared secret; info is the domain, both public keys in byte
 * order, and the key of the end that sends the probes. `shared` is a secret from the settings that
 * stands in the place of the agreed one; each direction still gets a key of its own.
 */
export function agreeProbeKeys(own: ProbeKeyPair, peerPublicKey: Uint8Array, shared?: Uint8Array): Agreement {
  if (peerPublicKey.length !== PROBE_KEY_BYTES) return { ok: false, reason: "key-length" };
  if (Buffer.compare(own.publicKey, peerPublicKey) === 0) return { ok: false, reason: "own-key" };
  const secret = shared ?? sharedSecret(own.privateKey, peerPublicKey);
  if (secret === undefined) return { ok: false, reason: "weak-key" };
  const sorted = [own.publicKey, peerPublicKey].sort(Buffer.compare);
  const derive = (senderKey: Uint8Array): Uint8Array => {
    const info = Buffer.concat([Buffer.from(DOMAIN), ...sorted, senderKey]);
    return new Uint8Array(hkdfSync("sha256", secret, Buffer.alloc(0), info, PROBE_KEY_BYTES));
  };
  return { ok: true, keys: { outgoing: derive(own.publicKey), incoming: derive(peerPublicKey) } };
}

// RFC 8410: what stands before the 32 octets in SPKI and PKCS #8.
const SPKI_PREFIX = Buffer.from("302a300506032b656e032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");

function pairOf(privateKey: KeyObject): ProbeKeyPair {
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return { publicKey: new Uint8Array(spki.subarray(SPKI_PREFIX.length)), privateKey };
}

/** OpenSSL fails on a small-order key, whose secret is the same for everyone; so does this. */
function sharedSecret(privateKey: KeyObject, peerPublicKey: Uint8Array): Buffer | undefined {
  try {
    const publicKey = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, peerPublicKey]), format: "der", type: "spki",
    });
    const secret = diffieHellman({ privateKey, publicKey });
    return secret.every((octet) => octet === 0) ? undefined : secret;
  } catch {
    return undefined;
  }
}
