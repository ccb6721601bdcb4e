/**
 * The bearer token of this sidecar's own ports: who can read the file may change what the sidecar runs. Made at the
 * first start and kept, so that a command line on the same host finds it; removing it makes a new one at the next start.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export const API_TOKEN_FILE = "api.token";
export const API_TOKEN_FORM = /^[0-9a-f]{64}$/;

/** 32 random octets in hex, 0600. Throws StateError. */
export function loadOrCreateApiToken(stateDir: string, fs?: FileSystem): string {
  const path = join(stateDir, API_TOKEN_FILE);
  const existing = readPrivate(path, fs)?.trim();
  if (existing !== undefined) {
    if (!API_TOKEN_FORM.test(existing)) throw new StateError("content", path, "is not 32 octets in hex", "Remove it: a new token is made.");
    return existing;
  }
  const token = randomBytes(32).toString("hex");
  return writeAtomically(path, `${token}\n`, { exclusive: true }, fs) ? token : loadOrCreateApiToken(stateDir, fs);
}
