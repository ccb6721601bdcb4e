/**
 * Reputations as bytes that two machines can compare: one JSON line in one order, integers only, and its SHA-256. And
 * the export from which another machine makes the same bytes: the sealed states, each with the node that it speaks for.
 */
import { createHash } from "node:crypto";
import { open, STATE, type Verified } from "./envelope.js";
import type { KeyAdmission } from "./keys.js";
import type { NodeState } from "./record.js";
import type { Reputations } from "./reputation.js";

/** Ends with a newline. */
export function reputationBytes({ records, observing, quorum, nodes }: Reputations): Uint8Array {
  const lines = nodes.map(({ identity, key, node, scorePpm, observers }) => ({ identity, key, node, scorePpm: scorePpm ?? null, observers }));
  return Buffer.from(`${JSON.stringify({ schemaVersion: 1, records, observing, quorum, nodes: lines })}\n`);
}

/** Lower-case hex. */
export function reputationHash(reputations: Reputations): string {
  return createHash("sha256").update(reputationBytes(reputations)).digest("hex");
}

export interface RecordExport {
  schemaVersion: 1;
  datacenter: string;
  /** Unix milliseconds: when the records were read, and held against their validity. */
  readAtMs: number;
  /** What the sidecar that served the records computed from them; null where they come straight from Consul. */
  servedSha256: string | null;
  records: { node: string; sealedState: string }[];
}

export function exportOf(states: readonly Verified<NodeState>[], at: { datacenter: string; readAtMs: number; servedSha256?: string | undefined }): RecordExport {
  return {
    schemaVersion: 1,
    datacenter: at.datacenter,
    readAtMs: at.readAtMs,
    servedSha256: at.servedSha256 ?? null,
    records: states.map(({ record, sealed }) => ({ node: record.node, sealedState: Buffer.from(sealed).toString("base64") })),
  };
}

/** A file that is no export, or holds a record that does not verify: `message` says which. */
export class ExportError extends Error {
  override readonly name = "ExportError";
  readonly code = "bad-export";
}

export function parseExport(text: string): RecordExport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ExportError("it is not JSON");
  }
  if (!isExport(value)) throw new ExportError("it is no export of `trust export`");
  return value;
}

/** Each record is verified again, in its place and by the time of the export. Throws ExportError. */
export function openExport({ datacenter, readAtMs, records }: RecordExport, keys: KeyAdmission, skewMs: number): Verified<NodeState>[] {
  return records.map(({ node, sealedState }) => {
    const opened = open(STATE, Buffer.from(sealedState, "base64"), { keys, nowMs: readAtMs, skewMs, datacenter, node });
    if (!opened.ok) throw new ExportError(`the record of ${JSON.stringify(node)} does not verify: ${opened.reason}: ${opened.detail}`);
    return opened.verified;
  });
}

function isExport(value: unknown): value is RecordExport {
  const { schemaVersion, datacenter, readAtMs, servedSha256, records } = (value ?? {}) as Record<string, unknown>;
  return (
    schemaVersion === 1 && typeof datacenter === "string" && Number.isSafeInteger(readAtMs) &&
    (servedSha256 === null || (typeof servedSha256 === "string" && /^[0-9a-f]{64}$/.test(servedSha256))) &&
    Array.isArray(records) &&
    records.every((record: unknown) => {
      const { node, sealedState } = (record ?? {}) as Record<string, unknown>;
      return typeof node === "string" && typeof sealedState === "string";
    })
  );
}
