/** IDs of the decisions that this node has put into Consul's KV, oldest first: what it may take away again. */
import { join } from "node:path";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";

const DECISION_LIST_FILE = "decisions.json";

/** What is no such list is none: its decisions stay in KV. Throws StateError where the file cannot be read. */
export function readDecisionList(stateDir: string, fs?: FileSystem): string[] {
  const content = readPrivate(join(stateDir, DECISION_LIST_FILE), fs);
  try {
    const { v, ids } = JSON.parse(content ?? "{}") as { v?: unknown; ids?: unknown };
    return v === 1 && Array.isArray(ids) ? ids.filter((id): id is string => typeof id === "string" && /^[0-9a-f]{32}$/.test(id)) : [];
  } catch {
    return [];
  }
}

/** Throws StateError. */
export function writeDecisionList(stateDir: string, ids: readonly string[], fs?: FileSystem): void {
  writeAtomically(join(stateDir, DECISION_LIST_FILE), `${JSON.stringify({ v: 1, ids })}\n`, {}, fs);
}
