/**
 * Events.Dispatch: the first cluster's events, each an Any in a ClusterMessage, by one handler each. An event that nobody
 * answers is UNIMPLEMENTED, and names those that are answered. Handlers read; what changes the cluster has calls of its own.
 */
import { type sendUnaryData, type ServerUnaryCall, status, type StatusObject } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { policyMessage } from "../../beacon/state-codec.js";
import { cluster, ibrl } from "../../proto/messages.js";
import { AttestError, type Attestor } from "../attestor.js";
import { ConsulError } from "../consul-api.js";
import { ProofCheckError, type ProofChecks } from "../proof-checks.js";
import { type PolicyQueries, PolicyQueryError, type PolicyQuestion } from "../policy-queries.js";

const api = cluster.services.api;
type Message = cluster.services.api.ClusterMessage.$Properties;

/** Both types by their full names. Bytes that are not what the type says throw BadEventError. */
export interface EventHandler {
  request: string;
  response: string;
  answer: (request: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>;
}
export type EventHandlers = ReadonlyMap<cluster.services.api.ClusterEvent, EventHandler>;

class BadEventError extends Error {}

const ATTEST_STATUS = { invalid: status.INVALID_ARGUMENT, "not-found": status.NOT_FOUND, unavailable: status.UNAVAILABLE } as const;

const PACKAGE = "cluster.services.api";
const TYPE_URL = "type.googleapis.com/";

export class GrpcEvents {
  constructor(
    private readonly handlers: EventHandlers,
    private readonly logger: Logger,
    private readonly closing: AbortSignal,
  ) {}

  readonly dispatch = (call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>): void => void this.#dispatch(call, done);

  async #dispatch(call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>): Promise<void> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    const event = call.request.event ?? api.ClusterEvent.ERROR;
    const handler = this.handlers.get(event);
    if (handler === undefined) {
      const answered = [...this.handlers.keys()].map((known) => api.ClusterEvent[known]).join(", ");
      return done({ code: status.UNIMPLEMENTED, details: `${api.ClusterEvent[event] ?? String(event)} is not answered here; what is: ${answered || "nothing"}` });
    }
    try {
      const { type_url: type = "", value } = call.request.wrappedMessage ?? {};
      // What stands before the last / is a host that nobody asks.
      if (type?.slice(type.lastIndexOf("/") + 1) !== handler.request) throw new BadEventError(`wrappedMessage is ${JSON.stringify(type)}; it takes ${handler.request}`);
      const answer = await handler.answer(value ?? new Uint8Array(), AbortSignal.any([gone.signal, this.closing]));
      done(null, { event, wrappedMessage: { type_url: `${TYPE_URL}${handler.response}`, value: answer } });
    } catch (error) {
      done(this.#failure(event, error));
    }
  }

  #failure(event: number, error: unknown): Partial<StatusObject> {
    const details = error instanceof Error ? error.message : String(error);
    if (error instanceof BadEventError) return { code: status.INVALID_ARGUMENT, details };
    if (error instanceof AttestError) return { code: ATTEST_STATUS[error.code], details };
    if (error instanceof PolicyQueryError) return { code: error.code === "not-found" ? status.NOT_FOUND : status.DATA_LOSS, details };
    if (error instanceof ProofCheckError) return { code: status.NOT_FOUND, details };
    if (error instanceof ConsulError) return { code: error.transient ? status.UNAVAILABLE : status.FAILED_PRECONDITION, details: `Consul: ${details}` };
    this.logger.error({ err: error, event: api.ClusterEvent[event] }, "event failed");
    return { code: status.INTERNAL, details };
  }
}

/** POLICY_QUERY: of the workload_id, else of context["node"], else of this sidecar; policy_type is cluster, spawn or empty. */
export function policyQueryEvent(queries: PolicyQueries): [cluster.services.api.ClusterEvent, EventHandler] {
  return [api.ClusterEvent.POLICY_QUERY, {
    request: `${PACKAGE}.PolicyQuery`,
    response: `${PACKAGE}.PolicyContext`,
    answer: async (request, signal) => api.PolicyContext.encode(policyMessage(await queries.answer(questionIn(request), { signal }))).finish(),
  }];
}

/** BEACON_ATTEST: of this node, or of node_id if that is this one; attestation_data is an ibrl.v1.AttestationRequest, and back a sealed Attestation. */
export function beaconAttestEvent(attestor: Attestor): [cluster.services.api.ClusterEvent, EventHandler] {
  return [api.ClusterEvent.BEACON_ATTEST, {
    request: `${PACKAGE}.BeaconAttestation`,
    response: `${PACKAGE}.BeaconAttestation`,
    answer: async (request) => {
      const { node_id: asked, attestation_type, attestation_data } = decoded("BeaconAttestation", () => api.BeaconAttestation.decode(request));
      const { nonce, workload } = decoded("AttestationRequest in its attestation_data", () => ibrl.v1.AttestationRequest.decode(attestation_data));
      const { nodeId, type, sealed } = attestor.attest({ nodeId: asked, type: attestation_type, nonce, workload });
      return api.BeaconAttestation.encode({ node_id: nodeId, attestation_type: type, attestation_data: sealed }).finish();
    },
  }];
}

/** PROOF_VERIFY: workload_id and proof_hash; back the same with the verdict and the registry's hash. */
export function proofVerifyEvent(checks: ProofChecks): [cluster.services.api.ClusterEvent, EventHandler] {
  return [api.ClusterEvent.PROOF_VERIFY, {
    request: `${PACKAGE}.ProofVerification`,
    response: `${PACKAGE}.ProofVerification`,
    answer: async (request) => {
      const { workload_id, proof_hash } = decoded("ProofVerification", () => api.ProofVerification.decode(request));
      if (workload_id === "") throw new BadEventError("workload_id is missing");
      if (!/^[0-9a-f]{64}$/i.test(proof_hash)) throw new BadEventError("proof_hash is not 64 hex digits");
      const { newest, registryHash } = await checks.check(workload_id, proof_hash);
      return api.ProofVerification.encode({ workload_id, proof_hash, verification_result: newest, beacon_registry_hash: registryHash }).finish();
    },
  }];
}

function questionIn(request: Uint8Array): PolicyQuestion {
  const { workload_id: workload, policy_type: type, context } = decoded("PolicyQuery", () => api.PolicyQuery.decode(request));
  const node = context["node"];
  if (type !== "" && type !== "cluster" && type !== "spawn") throw new BadEventError(`policy_type ${JSON.stringify(type)} is neither cluster nor spawn`);
  if (workload === "" && type === "spawn") throw new BadEventError("a spawn's policy is that of a workload: workload_id is missing");
  return { ...(workload === "" ? {} : { workload }), ...(node === undefined ? {} : { node }), ...(type === "" ? {} : { role: type }) };
}

function decoded<M>(what: string, decode: () => M): M {
  try {
    return decode();
  } catch (error) {
    throw new BadEventError(`wrappedMessage is no ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
