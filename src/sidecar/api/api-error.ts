/** How a call to a sidecar fails, as codes; one exhaustive table from gRPC's. */
import { status } from "@grpc/grpc-js";

export type ApiErrorCode =
  | "unreachable" // no sidecar answers at the address, or it is shutting down
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
export function apiErrorOf(address: string, failure: { code: status; details: string }, cause?: unknown): ApiError {
  const code = failure.code === status.OK ? "protocol" : (CODES[failure.code] ?? "protocol");
  return new ApiError(code, address, `${sentence(code, address)} (${failure.details})`, cause === undefined ? undefined : { cause });
}

function sentence(code: ApiErrorCode, address: string): string {
  switch (code) {
    case "unreachable":
      return `no sidecar answers at ${address}: start one with \`hypercore sidecar\`, or name the gRPC address of a running one`;
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
