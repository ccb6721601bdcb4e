/** Evidence on this node's disk: what `hypercore trust evidence` shows, whether the sidecar runs or not. */
import { join } from "node:path";
import { type Evidence, evidenceDocument, readEvidenceDocument } from "../../beacon/evidence.js";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export const EVIDENCE_FILE = "evidence.json";

/** Oldest first. Throws StateError. */
export function readEvidence(stateDir: string, fs?: FileSystem): Evidence[] {
  const path = join(stateDir, EVIDENCE_FILE);
  const content = readPrivate(path, fs);
  if (content === null) return [];
  try {
    const document = JSON.parse(content) as { v?: unknown; evidence?: unknown };
    if (document.v === 1 && Array.isArray(document.evidence)) return document.evidence.map(evidenceIn);
  } catch {
    // named below
  }
  throw new StateError("content", path, "is not a file of evidence", "Move it away: evidence is then gathered anew.");
}

export function writeEvidence(stateDir: string, evidence: readonly Evidence[], fs?: FileSystem): void {
  writeAtomically(join(stateDir, EVIDENCE_FILE), `${JSON.stringify({ v: 1, evidence: evidence.map(evidenceDocument) }, null, 1)}\n`, {}, fs);
}

function evidenceIn(row: unknown): Evidence {
  const evidence = readEvidenceDocument(row);
  if (evidence === null) throw new Error("not evidence");
  return evidence;
}
