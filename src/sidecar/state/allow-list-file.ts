/** The newest allow-list that this sidecar has seen, on its own disk: what an older one replayed in KV is held against. */
import { join } from "node:path";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";

export const ALLOW_LIST_FILE = "allow-list.json";

/** Null where there is none. What it holds is opened like any other document. Throws StateError. */
export function readAllowListFile(stateDir: string, fs?: FileSystem): string | null {
  return readPrivate(join(stateDir, ALLOW_LIST_FILE), fs);
}

/** Throws StateError. */
export function writeAllowListFile(stateDir: string, document: string, fs?: FileSystem): void {
  writeAtomically(join(stateDir, ALLOW_LIST_FILE), document, {}, fs);
}
