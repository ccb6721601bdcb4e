/**
 * The files of a key rotation, and the order in which they change, so that a power cut at any step leaves a node that
 * goes on with one key and never signs a second rotation of it:
 *
 *   identity.next.pem made ─▶ rotations.json holds the sealed rotation ─▶ (published) ─▶ next replaces identity.pem
 *
 * rotations.json then stays: the node's own chain, from its first key to the present one.
 */
import { join } from "node:path";
import type { KeyAdmission } from "../../beacon/keys.js";
import { openRotation, readRotationDocument, type Rotation, rotationDocument } from "../../beacon/rotation.js";
import { type FileSystem, readPrivate, replaceAtomically, writeAtomically } from "./atomic-file.js";
import { type Identity, IDENTITY_FILE, loadOrCreateIdentity, readIdentity } from "./identity.js";
import { StateError } from "./state-error.js";

export const NEXT_KEY_FILE = "identity.next.pem";
export const ROTATIONS_FILE = "rotations.json";

/** The key that the sidecar changes to; made where none is prepared yet, and then `created`. Throws StateError. */
export function prepareNextKey(stateDir: string, fs?: FileSystem): Identity {
  return loadOrCreateIdentity(stateDir, fs, NEXT_KEY_FILE);
}

/** Null while no rotation is prepared. Throws StateError. */
export function readNextKey(stateDir: string, fs?: FileSystem): Identity | null {
  return readIdentity(stateDir, NEXT_KEY_FILE, fs);
}

/** The old private key is gone after this. Throws StateError. */
export function adoptNextKey(stateDir: string, fs?: FileSystem): void {
  replaceAtomically(join(stateDir, NEXT_KEY_FILE), join(stateDir, IDENTITY_FILE), fs);
}

/** The node's own chain, verified. Throws StateError. */
export function readOwnRotations(stateDir: string, keys: KeyAdmission, fs?: FileSystem): Rotation[] {
  const path = join(stateDir, ROTATIONS_FILE);
  const content = readPrivate(path, fs);
  if (content === null) return [];
  try {
    const document = JSON.parse(content) as { v?: unknown; rotations?: unknown };
    if (document.v === 1 && Array.isArray(document.rotations)) return document.rotations.map((row) => rotationOf(row, keys));
  } catch {
    // named below
  }
  throw new StateError("content", path, "is not a file of verified rotations", "Restore it from a backup; without it, readers that hold an older pin do not follow to the present key.");
}

export function writeOwnRotations(stateDir: string, rotations: readonly Rotation[], fs?: FileSystem): void {
  writeAtomically(join(stateDir, ROTATIONS_FILE), `${JSON.stringify({ v: 1, rotations: rotations.map(rotationDocument) }, null, 1)}\n`, {}, fs);
}

function rotationOf(row: unknown, keys: KeyAdmission): Rotation {
  const sealed = readRotationDocument(row);
  const opened = sealed === null ? null : openRotation(sealed, keys);
  if (opened?.ok !== true) throw new Error("not a rotation");
  return opened.rotation;
}
