/** BEACON_ATTEST for the command line: bytes of a sidecar, which the caller checks. Rejects with ApiError. */
import type { Asked } from "../../beacon/attestation.js";
import { cluster, ibrl } from "../../proto/messages.js";
import { ApiError } from "./api-error.js";
import { type CallOptions, callSidecar } from "./client.js";
import { EventsDefinition } from "./service-definition.js";

const { BeaconAttestation, ClusterEvent } = cluster.services.api;
const TYPE = "type.googleapis.com/cluster.services.api.BeaconAttestation";

export async function askToAttest({ type, nonce, workload = "" }: Asked, options: CallOptions): Promise<{ nodeId: string; sealed: Uint8Array }> {
  const attestation_data = ibrl.v1.AttestationRequest.encode({ nonce: Buffer.from(nonce, "hex"), workload }).finish();
  const value = BeaconAttestation.encode({ attestation_type: type, attestation_data }).finish();
  const { wrappedMessage } = await callSidecar(EventsDefinition.Dispatch, { event: ClusterEvent.BEACON_ATTEST, wrappedMessage: { type_url: TYPE, value } }, options);
  try {
    const answer = BeaconAttestation.decode(wrappedMessage?.value ?? new Uint8Array());
    return { nodeId: answer.node_id, sealed: answer.attestation_data };
  } catch (error) {
    throw new ApiError("protocol", options.address, `${options.address} answers BEACON_ATTEST with something else`, { cause: error });
  }
}
