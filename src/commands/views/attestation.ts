/** What `trust attest` shows. Its JSON: schemas/trust-attest.schema.json. */
import type { Attestation, AttestationType, AttestedWorkload } from "../../beacon/attestation.js";
import type { Verified } from "../../beacon/envelope.js";
import type { TrustState } from "../../beacon/registry.js";
import { printable } from "./printable.js";

export interface AttestationDocument {
  schemaVersion: 1;
  node: string;
  nodeId: string;
  datacenter: string;
  beaconId: string;
  publicKey: string;
  /** How the asked sidecar stands to that key. */
  trust: TrustState;
  type: AttestationType;
  nonce: string;
  issuedAt: string;
  ageMs: number;
  /** The state that it attests to, and that was verified here. */
  state: { epoch: number; sequence: number; sha256: string };
  workload: AttestedWorkload | null;
  /** Base64, as it was signed. */
  sealed: string;
}

export function attestationDocument({ record, key, beaconId, ageMs, sealed }: Verified<Attestation>, trust: TrustState): AttestationDocument {
  const { node, nodeId, datacenter, type, nonce, issuedAtMs, epoch, sequence, stateHash, workload } = record;
  return {
    schemaVersion: 1,
    node, nodeId, datacenter, beaconId, trust, type, nonce, ageMs,
    publicKey: key.hex,
    issuedAt: new Date(issuedAtMs).toISOString(),
    state: { epoch, sequence, sha256: stateHash },
    workload: workload ?? null,
    sealed: Buffer.from(sealed).toString("base64"),
  };
}

/** Without the last line's newline. */
export function attestationText({ node, nodeId, datacenter, beaconId, publicKey, trust, type, nonce, ageMs, state, workload }: AttestationDocument): string {
  const lines = [
    `${type}: ${printable(node)}, ${printable(datacenter)} (Consul node ID ${printable(nodeId)})`,
    `  signed by  ${publicKey} (beacon ID ${beaconId}, ${trust}), ${String(ageMs)} ms ago`,
    `  nonce      ${nonce}`,
    `  state      epoch ${String(state.epoch)}, sequence ${String(state.sequence)}, SHA-256 ${state.sha256}: as it is listed`,
  ];
  if (workload !== null) lines.push(`  workload   ${printable(workload.job)}, allocation ${printable(workload.allocation)}, namespace ${printable(workload.namespace)}: ${printable(workload.status)}`);
  return lines.join("\n");
}
