/**
 * Reputations as bytes that two machines can compare: one JSON line in one order, integers only, and its SHA-256. And
 * the export from which another machine makes the same bytes: the sealed states, each with the node that it speaks for,
 * and the rotations by which the nodes came to their keys.
 */
import { createHash } from "node:crypto";
import { open, STATE } from "./envelope.js";
import type { KeyAdmission } from "./keys.js";
import type { Rejection } from "./rejection.js";
import type { Reputations } from "./reputation.js";
import type { BelievedRecords } from "./reputation-views.js";
import { openRotation } from "./rotation.js";

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
  rotations: { node: string; byOld: string; byNew: string }[];
}

export function exportOf({ states, rotations }: BelievedRecords, at: { datacenter: string; readAtMs: number; servedSha256?: string | undefined }): RecordExport {
  return {
    schemaVersion: 1,
    datacenter: at.datacenter,
    readAtMs: at.readAtMs,
    servedSha256: at.servedSha256 ?? null,
    records: states.map(({ record, sealed }) => ({ node: record.node, sealedState: base64(sealed) })),
    rotations: rotations.map(({ node, sealed }) => ({ node, byOld: base64(sealed.byOld), byNew: base64(sealed.byNew) })),
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
export function openExport({ datacenter, readAtMs, records, rotations }: RecordExport, keys: KeyAdmission, skewMs: number): BelievedRecords {
  const refuse = (what: string, node: string, { reason, detail }: Rejection): never => {
    throw new ExportError(`the ${what} of ${JSON.stringify(node)} does not verify: ${reason}: ${detail}`);
  };
  return {
    states: records.map(({ node, sealedState }) => {
      const opened = open(STATE, Buffer.from(sealedState, "base64"), { keys, nowMs: readAtMs, skewMs, datacenter, node });
      return opened.ok ? opened.verified : refuse("record", node, opened);
    }),
    rotations: rotations.map(({ node, byOld, byNew }) => {
      const opened = openRotation({ byOld: Buffer.from(byOld, "base64"), byNew: Buffer.from(byNew, "base64") }, keys, { node, datacenter });
      return opened.ok ? opened.rotation : refuse("rotation", node, opened);
    }),
  };
}

function isExport(value: unknown): value is RecordExport {
  const { schemaVersion, datacenter, readAtMs, servedSha256, records, rotations } = (value ?? {}) as Record<string, unknown>;
  return (
    schemaVersion === 1 && typeof datacenter === "string" && Number.isSafeInteger(readAtMs) &&
    (servedSha256 === null || (typeof servedSha256 === "string" && /^[0-9a-f]{64}$/.test(servedSha256))) &&
    areRows(records, ["node", "sealedState"]) && areRows(rotations, ["node", "byOld", "byNew"])
  );
}

function areRows(value: unknown, fields: readonly string[]): boolean {
  return Array.isArray(value) && value.every((row: unknown) => fields.every((field) => typeof ((row ?? {}) as Record<string, unknown>)[field] === "string"));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
