/**
 * An operator's key on the machine that signs allow-lists: FILE is the private key (PKCS #8 PEM, 0600), FILE.pub the
 * public one in hex, FILE.list the list signed last, so that an older one in KV is noticed before it is edited.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export interface OperatorKey {
  privateKey: KeyObject;
  /** 32 bytes. */
  publicKey: Uint8Array;
}

/** Never replaces a file. Throws StateError. */
export function createOperatorKey(path: string): OperatorKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  if (!writeAtomically(path, privateKey.export({ format: "pem", type: "pkcs8" }).toString(), { exclusive: true })) {
    throw new StateError("content", path, "exists already", "Name another file: an operator's key is never written over.");
  }
  const key = keyOf(privateKey);
  writeFileSync(`${path}.pub`, `${Buffer.from(key.publicKey).toString("hex")}\n`, { mode: 0o644 });
  return key;
}

/** Throws StateError. */
export function readOperatorKey(path: string): OperatorKey {
  const pem = readPrivate(path);
  if (pem === null) throw new StateError("unreadable", path, "is not there", "Make one with `hypercore trust allow --new-key --key-file FILE`.");
  try {
    const privateKey = createPrivateKey(pem);
    if (privateKey.asymmetricKeyType === "ed25519") return keyOf(privateKey);
  } catch {
    // named below
  }
  throw new StateError("content", path, "is not an ed25519 private key in PKCS #8 PEM", "Restore it from a backup.");
}

/** Null where this key has signed none from here. */
export function readLastList(path: string): Uint8Array | null {
  try {
    return readFileSync(`${path}.list`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new StateError("unreadable", `${path}.list`, (error as Error).message, "Without it an older list in KV could be edited unnoticed.", { cause: error });
  }
}

/** Public: what `--allow-list` of a sidecar takes. */
export function writeLastList(path: string, document: string): void {
  writeAtomically(`${path}.list`, document);
}

function keyOf(privateKey: KeyObject): OperatorKey {
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, publicKey: Uint8Array.from(Buffer.from(x ?? "", "base64url")) };
}
