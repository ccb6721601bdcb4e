/** How a call to a sidecar fails, as codes; one exhaustive table from gRPC's. */
import { type Metadata, status } from "@grpc/grpc-js";

/** Trailer of a refusal by the limits on calls, which tells it from an answer over the client's own cap. */
export const OVER_LIMIT = "ibrl-over-limit";

export type ApiErrorCode =
  | "unreachable" // no sidecar answers at the address, or it is shutting down
  | "tls" // no TLS with what listens there: it has none, it wants it, or a certificate is not accepted
  | "busy" // over the server's limits on calls
  | "deadline"
  | "cancelled" // by our own signal
  | "unimplemented"
  | "too-large" // the answer is over the client's cap
  | "denied"
  | "invalid" // the server refuses what we asked
  | "protocol" // an answer that is not the contract's
  | "server"; // it failed inside

export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly code: ApiErrorCode,
    readonly address: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const CODES: Readonly<Record<Exclude<status, status.OK>, ApiErrorCode>> = {
  [status.CANCELLED]: "cancelled",
  [status.UNKNOWN]: "server",
  [status.INVALID_ARGUMENT]: "invalid",
  [status.DEADLINE_EXCEEDED]: "deadline",
  [status.NOT_FOUND]: "invalid",
  [status.ALREADY_EXISTS]: "invalid",
  [status.PERMISSION_DENIED]: "denied",
  [status.RESOURCE_EXHAUSTED]: "too-large",
  [status.FAILED_PRECONDITION]: "invalid",
  [status.ABORTED]: "server",
  [status.OUT_OF_RANGE]: "invalid",
  [status.UNIMPLEMENTED]: "unimplemented",
  [status.INTERNAL]: "server",
  [status.UNAVAILABLE]: "unreachable",
  [status.DATA_LOSS]: "protocol",
  [status.UNAUTHENTICATED]: "denied",
};

/** `details` is the server's sentence, or grpc-js' own. */
export function apiErrorOf(address: string, failure: { code: status; details: string; metadata?: Metadata }, cause?: unknown): ApiError {
  const over = failure.code === status.RESOURCE_EXHAUSTED && failure.metadata?.get(OVER_LIMIT)[0] !== undefined;
  const code = over ? "busy" : failure.code === status.OK ? "protocol" : (CODES[failure.code] ?? "protocol");
  return new ApiError(code, address, `${sentence(code, address)} (${failure.details})`, cause === undefined ? undefined : { cause });
}

function sentence(code: ApiErrorCode, address: string): string {
  switch (code) {
    case "unreachable":
      return `no sidecar answers at ${address}: start one with \`hypercore sidecar\`, or name the gRPC address of a running one`;
    case "tls":
      return `no TLS connection with ${address}`;
    case "busy":
      return `the sidecar at ${address} is too busy for this call`;
    case "deadline":
      return `the sidecar at ${address} did not answer in time`;
    case "cancelled":
      return `the call to ${address} was cancelled`;
    case "unimplemented":
      return `the server at ${address} does not have this call`;
    case "too-large":
      return `the answer of ${address} is larger than this client accepts`;
    case "denied":
      return `the sidecar at ${address} does not allow this call`;
    case "invalid":
      return `the sidecar at ${address} refuses this call`;
    case "protocol":
      return `what answers at ${address} is not a sidecar's gRPC port`;
    case "server":
      return `the sidecar at ${address} failed`;
  }
}
