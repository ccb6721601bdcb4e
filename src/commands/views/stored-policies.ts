/** Policies that are stored in the cluster: a row or an object for each, and who put it there. */
import type { Signed } from "../../beacon/envelope.js";
import type { openStoredPolicy, StoredPolicy } from "../../policy/stored-policy.js";
import { layOut, type TableOptions } from "./columns.js";
import { printable } from "./printable.js";

export interface ListedPolicy {
  name: string;
  opened: ReturnType<typeof openStoredPolicy>;
  /** Whose believed key signed; undefined where it is nobody's. */
  node: string | undefined;
}

const HEADINGS = { name: "NAME", kind: "KIND", size: "BYTES", hash: "SHA256", put: "PUT", by: "BY", signed: "SIGNED BY" } as const;
type Column = keyof typeof HEADINGS;

/** Without the last newline. */
export function policyTable(policies: readonly ListedPolicy[], options: TableOptions): string {
  if (policies.length === 0) return "No policies are stored; `policy put FILE` stores one.";
  const plan = { headings: HEADINGS, left: new Set<Column>(["name", "kind", "hash", "put", "by", "signed"]), dropOrder: ["by", "put"] as const, shrink: ["hash", "signed"] as const };
  return layOut(plan, policies.map(rowOf), options, (_, cell) => cell).lines.join("\n");
}

export function listedPolicyDocument({ name, opened, node }: ListedPolicy): object {
  if (opened.ok) return { verified: true, ...storedPolicyDocument(opened.signed, node), detail: null };
  return { verified: false, name, detail: `${opened.reason}: ${opened.detail}` };
}

export function storedPolicyDocument({ record, key, beaconId }: Signed<StoredPolicy>, node: string | undefined): object {
  return { ...record, signedBy: { publicKey: key.hex, beaconId, node: node ?? null } };
}

export function storedPolicyText({ record, key }: Signed<StoredPolicy>, node: string | undefined): string {
  return `${record.name}: ${record.kind}, ${String(record.sizeBytes)} bytes, sha256 ${record.hash}, put by ${printable(record.putBy)}, signed by ${printable(node ?? key.hex)}`;
}

function rowOf({ name, opened, node }: ListedPolicy): Record<Column, string> {
  if (!opened.ok) return { name: printable(name), kind: "-", size: "-", hash: "-", put: "-", by: "-", signed: printable(`FAILS VERIFICATION: ${opened.reason}`) };
  const { record, beaconId } = opened.signed;
  return {
    name: record.name,
    kind: record.kind,
    size: String(record.sizeBytes),
    hash: record.hash,
    put: new Date(record.putAtMs).toISOString().replace(/\.\d+Z$/, "Z"),
    by: printable(record.putBy),
    signed: node === undefined ? `key ${beaconId}, which no believed node has` : printable(node),
  };
}
