/** Signs what this node attests to for somebody who asks (beacon/attestation.ts says what that proves). */
import type { KeyObject } from "node:crypto";
import { ATTESTATION, ATTESTATION_TYPES, type AttestationType, type AttestedWorkload, isNonce, NONCE_BYTES } from "../beacon/attestation.js";
import { seal } from "../beacon/envelope.js";
import type { NodeState } from "../beacon/record.js";
import type { Clock } from "./clock.js";
import type { Sealed } from "./sealer.js";

/** Long enough to travel; an attestation is for who asked, now. */
const VALIDITY_MS = 60_000;

export interface AttestationQuestion {
  /** Consul node ID; empty is whoever answers. */
  nodeId: string;
  type: string;
  nonce: Uint8Array;
  /** Of a WORKLOAD: its allocation, or its job. */
  workload: string;
}

export class AttestError extends Error {
  override readonly name = "AttestError";
  constructor(
    readonly code: "invalid" | "not-found" | "unavailable",
    message: string,
  ) {
    super(message);
  }
}

export class Attestor {
  constructor(
    private readonly deps: {
      /** What this node says of itself now; undefined before it has a name in a cluster, or while another process has its key. */
      sealed: () => Sealed | undefined;
      identity: { publicKey: Uint8Array; privateKey: KeyObject };
      clock: Pick<Clock, "nowMs" | "monoMs">;
      onSigned: (type: AttestationType, elapsedMs: number) => void;
    },
  ) {}

  /** Throws AttestError. */
  attest(question: AttestationQuestion): { nodeId: string; type: AttestationType; sealed: Uint8Array } {
    const { sealed, identity, clock, onSigned } = this.deps;
    const startedMs = clock.monoMs();
    const type = ATTESTATION_TYPES.find((known) => known === question.type);
    if (type === undefined) throw new AttestError("invalid", `attestation_type ${JSON.stringify(question.type)} is none of ${ATTESTATION_TYPES.join(", ")}`);
    if (!isNonce(question.nonce)) throw new AttestError("invalid", `nonce: ${String(question.nonce.length)} bytes; it takes ${String(NONCE_BYTES.least)} to ${String(NONCE_BYTES.most)}, random`);
    const state = sealed()?.state;
    if (state === undefined) throw new AttestError("unavailable", "this sidecar speaks for no node now: it is in no cluster, or another process has its key");
    const { record } = state;
    if (question.nodeId !== "" && question.nodeId !== record.nodeId) throw new AttestError("not-found", `this sidecar attests for ${record.node}, Consul node ID ${record.nodeId}, alone`);
    if ((type === "WORKLOAD") !== (question.workload !== "")) throw new AttestError("invalid", type === "WORKLOAD" ? "workload is missing: a Nomad allocation or job" : `workload does not go with ${type}`);
    const { node, datacenter, epoch, sequence, nodeId } = record;
    const workload = type === "WORKLOAD" ? { workload: workloadIn(record, question.workload) } : {};
    const attestation = {
      node, datacenter, epoch, sequence, nodeId, type, ...workload,
      issuedAtMs: clock.nowMs(), validityMs: VALIDITY_MS,
      nonce: Buffer.from(question.nonce).toString("hex"), stateHash: state.hash,
    };
    const signed = { nodeId, type, sealed: seal(ATTESTATION, attestation, identity) };
    onSigned(type, clock.monoMs() - startedMs);
    return signed;
  }
}

/** Of a job's allocations one that runs, the newest. */
function workloadIn({ node, workloads = [] }: NodeState, asked: string): AttestedWorkload {
  const found = workloads.filter(({ id, job }) => id === asked || job === asked).sort((a, b) => Number(b.status === "running") - Number(a.status === "running") || b.createdAtMs - a.createdAtMs)[0];
  if (found === undefined) throw new AttestError("not-found", `no workload ${JSON.stringify(asked)} is in the state of ${node}`);
  return { allocation: found.id, job: found.job, namespace: found.namespace, status: found.status };
}
