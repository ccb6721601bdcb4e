/** NomadApi over HTTP: what the sidecar reads of its own node. Specification: Nomad's HTTP API, seen on 1.10.5. */
import type { NomadApi, NomadCallOptions } from "../nomad-api.js";
import { DEFAULT_NOMAD_LIMITS, NomadCalls, type NomadLimits } from "./calls.js";
import { decodeAllocations, decodeNode, decodeSelf, decodeWaitingEvaluations } from "./decode.js";
import type { NomadSettings } from "./settings.js";

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadClient(settings: NomadSettings, limits: NomadLimits = DEFAULT_NOMAD_LIMITS): Promise<NomadApi> {
  const calls = await NomadCalls.create(settings, limits);
  const of = (nodeId: string) => `/v1/node/${encodeURIComponent(nodeId)}`;
  // `stale`: a sidecar on each node is then no load on the leader, nor blind without one.
  return {
    self: (options: NomadCallOptions = {}) => calls.get({ operation: "self", rules: "agent:read", path: "/v1/agent/self", stale: true }, decodeSelf, options),
    node: (nodeId, options = {}) => calls.get({ operation: "node", rules: "node:read", path: of(nodeId), stale: true }, decodeNode, options),
    allocations: (nodeId, options = {}) =>
      calls.get({ operation: "allocations", rules: "node:read, namespace:read-job", path: `${of(nodeId)}/allocations`, stale: true }, decodeAllocations, options),
    waitingEvaluations: (nodeId, options = {}) => {
      const filter = `NodeID == ${JSON.stringify(nodeId)} and (Status == "blocked" or Status == "pending")`;
      const query = { filter, namespace: "*" };
      return calls.get({ operation: "waitingEvaluations", rules: "namespace:read-job", path: "/v1/evaluations", query, stale: true }, decodeWaitingEvaluations, options);
    },
  };
}
