/**
 * The node's ed25519 key: made at the first start, then kept. Never replaced and never ephemeral: a key that cannot
 * be read or kept stops the start, because a node with a new key is another node to all who pinned it.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { beaconId } from "../../beacon/keys.js";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export interface Identity {
  privateKey: KeyObject;
  /** 32 bytes. */
  publicKey: Uint8Array;
  /** What people see: hex of the first 8 bytes of the key. */
  beaconId: string;
  created: boolean;
}

/** The identity that everybody holds who signs: a rotation replaces what is behind it, between two records. */
export class NodeIdentity implements Identity {
  #current: Identity;

  constructor(first: Identity) {
    this.#current = first;
  }

  replace(next: Identity): void {
    this.#current = next;
  }

  get privateKey(): KeyObject {
    return this.#current.privateKey;
  }
  get publicKey(): Uint8Array {
    return this.#current.publicKey;
  }
  get beaconId(): string {
    return this.#current.beaconId;
  }
  get created(): boolean {
    return this.#current.created;
  }
}

/** PKCS #8 PEM, 0600: `openssl pkey -in identity.pem -pubout` reads it. */
export const IDENTITY_FILE = "identity.pem";

/** The key in a file; null where there is none. Throws StateError with the file and the fix. */
export function readIdentity(stateDir: string, file: string = IDENTITY_FILE, fs?: FileSystem): Identity | null {
  const path = join(stateDir, file);
  const content = readPrivate(path, fs);
  return content === null ? null : identityOf(content, path, false);
}

/** Throws StateError with the file and the fix. `file`: never one that holds a key in use. */
export function loadOrCreateIdentity(stateDir: string, fs?: FileSystem, file: string = IDENTITY_FILE): Identity {
  const existing = readIdentity(stateDir, file, fs);
  if (existing !== null) return existing;
  const path = join(stateDir, file);
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  // Lost the race against another start: its key is the node's.
  if (!writeAtomically(path, pem, { exclusive: true }, fs)) return loadOrCreateIdentity(stateDir, fs, file);
  return identityOf(pem, path, true);
}

function identityOf(pem: string, path: string, created: boolean): Identity {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
    if (privateKey.asymmetricKeyType !== "ed25519") throw new Error(`an ${String(privateKey.asymmetricKeyType)} key`);
  } catch (error) {
    throw new StateError(
      "content",
      path,
      "is not an ed25519 private key in PKCS #8 PEM (cut short?)",
      "Restore it from a backup. To start as a new node instead, move it away: peers will report a pin conflict until an operator settles it.",
      { cause: error },
    );
  }
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  const publicKey = Uint8Array.from(Buffer.from(jwk.x ?? "", "base64url"));
  return { privateKey, publicKey, beaconId: beaconId(publicKey), created };
}
