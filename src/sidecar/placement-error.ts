/** How Spawn, Stop and Logs fail, as codes; api/ has the one table to gRPC status and HTTP. */
export type PlacementErrorCode =
  | "invalid" // a field of the request; the message names it and its range
  | "not-found" // no such workload of ours
  | "not-a-placer" // this sidecar was started without --placer
  | "no-match" // no node satisfies the policy, or none is there
  | "nobody-runs-it" // nodes were chosen, and each refused it
  | "conflict" // the request ID belongs to another request, or to a workload that was stopped
  | "refused" // Nomad does not accept the job
  | "denied" // the token may not do it
  | "unavailable"; // Nomad or Consul is down, leaderless or slow: the same request may be repeated

export class PlacementError extends Error {
  override readonly name = "PlacementError";
  constructor(
    readonly code: PlacementErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** `field` as the request has it, `problem` with the range. */
export function invalid(field: string, problem: string): PlacementError {
  return new PlacementError("invalid", `${field} ${problem}`);
}
