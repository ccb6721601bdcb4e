/** What `trust allow` changes: for people with the beacon IDs that nodes log, for machines whole keys. */
import { beaconId } from "../../beacon/keys.js";
import type { EditedList } from "../../beacon/allow-list-edit.js";
import { printable } from "./printable.js";

export interface AllowDocument {
  schemaVersion: 1;
  datacenter: string;
  operatorKey: string;
  /** Of the list as it is after this. */
  serial: number;
  expiresAtMs: number | null;
  /** False under --dry-run, and where nothing changes. */
  written: boolean;
  changes: { node: string; before: string | null; after: string | null }[];
  nodes: { node: string; beaconId: string; publicKey: string }[];
  warnings: string[];
}

const idOf = (publicKey: string): string => beaconId(Buffer.from(publicKey, "hex"));

export function allowDocument({ list, changes }: EditedList, operatorKey: string, written: boolean, warnings: string[]): AllowDocument {
  return {
    schemaVersion: 1,
    datacenter: list.datacenter,
    operatorKey,
    serial: list.serial,
    expiresAtMs: list.expiresAtMs ?? null,
    written,
    changes: changes.map(({ node, before, after }) => ({ node, before: before ?? null, after: after ?? null })),
    nodes: list.nodes.map(({ node, publicKey }) => ({ node, beaconId: idOf(publicKey), publicKey })),
    warnings,
  };
}

/** Without the last line's newline. `place` is where it was written to. */
export function allowListChange(document: AllowDocument, place: string): string {
  const { datacenter, operatorKey, serial, expiresAtMs, written, changes, nodes } = document;
  const end = expiresAtMs === null ? "without an end" : `until ${new Date(expiresAtMs).toISOString()}`;
  return [
    `Allow-list of ${printable(datacenter)}, serial ${String(serial)}, ${end}, signed by ${operatorKey}`,
    ...changes.map(changeLine),
    `${String(nodes.length)} nodes are on it. ${written ? `Written to ${place}.` : "Nothing was written."}`,
  ].join("\n");
}

function changeLine({ node, before, after }: AllowDocument["changes"][number]): string {
  const name = printable(node);
  if (before === null) return `  + ${name}  beacon ID ${idOf(after ?? "")}  key ${after ?? ""}`;
  if (after === null) return `  - ${name}  beacon ID ${idOf(before)}`;
  return `  ~ ${name}  beacon ID ${idOf(before)} becomes ${idOf(after)}  key ${after}`;
}
