/** What Nomad says of a caller's token: asked by the guard of Spawn and Stop, answered by src/sidecar/nomad/. */

export type NomadTokenVerdict =
  /** `accessor` names the token and is no secret. */
  | { known: true; accessor: string }
  /** `no-acl`: this Nomad takes any token, so one proves nothing. */
  | { known: false; reason: "refused" | "no-acl" };

/** Rejects with NomadError where Nomad cannot be asked. */
export type NomadTokenCheck = (token: string, signal?: AbortSignal) => Promise<NomadTokenVerdict>;
