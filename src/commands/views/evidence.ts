/** `trust evidence`: what was kept, and whether it proves what it says when it is verified here. JSON: schemas/trust-evidence.schema.json. */
import { type Evidence, verifyEvidence } from "../../beacon/evidence.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { printable } from "./printable.js";

export interface EvidenceDocument {
  schemaVersion: 1;
  evidence: {
    kind: Evidence["kind"];
    node: string;
    datacenter: string;
    seenAt: string;
    verified: boolean;
    /** Why it does not verify. */
    reason: string | null;
    pinnedKey: string | null;
    records: {
      purpose: string;
      /** As it was signed, base64; what it says only where it verifies. */
      sealed: string;
      node: string | null;
      publicKey: string | null;
      epoch: number | null;
      sequence: number | null;
      issuedAt: string | null;
    }[];
  }[];
}

export function evidenceDocumentOf(kept: readonly Evidence[], keys: KeyAdmission): EvidenceDocument {
  return {
    schemaVersion: 1,
    evidence: kept.map((evidence) => {
      const { kind, node, datacenter, seenAtMs, pinnedKey } = evidence;
      const verdict = verifyEvidence(evidence, keys);
      return {
        kind, node, datacenter,
        seenAt: new Date(seenAtMs).toISOString(),
        verified: verdict.ok,
        reason: verdict.ok ? null : verdict.reason,
        pinnedKey: pinnedKey ?? null,
        records: evidence.records.map(({ purpose, sealed }, i) => {
          const told = verdict.ok ? verdict.records[i] : undefined;
          const said = told?.record;
          return {
            purpose,
            sealed: Buffer.from(sealed).toString("base64"),
            node: said?.node ?? null,
            publicKey: told?.key.hex ?? null,
            epoch: said?.epoch ?? null,
            sequence: said?.sequence ?? null,
            issuedAt: said === undefined ? null : new Date(said.issuedAtMs).toISOString(),
          };
        }),
      };
    }),
  };
}

/** Without the last newline. */
export function evidenceText({ evidence }: EvidenceDocument): string {
  if (evidence.length === 0) return "No evidence: no signed records were seen that contradict each other.";
  return evidence.flatMap(({ kind, node, datacenter, seenAt, verified, reason, pinnedKey, records }) => [
    `${kind}  ${printable(node)} in ${printable(datacenter)}, seen ${seenAt}: ${verified ? "verified" : `does not verify: ${printable(reason ?? "")}`}`,
    ...(pinnedKey === null ? [] : [`  pinned key  ${pinnedKey}`]),
    ...records.map(({ purpose, node: speaker, publicKey, epoch, sequence, issuedAt, sealed }) =>
      publicKey === null
        ? `  ${purpose}  ${String(Buffer.from(sealed, "base64").length)} bytes`
        : `  ${purpose}  ${printable(speaker ?? "")}, key ${publicKey.slice(0, 16)}, epoch ${String(epoch)} sequence ${String(sequence)}, issued ${String(issuedAt)}`),
  ]).join("\n");
}
