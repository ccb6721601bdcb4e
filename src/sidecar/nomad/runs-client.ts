/** NomadRuns over HTTP. Specification: Nomad's HTTP API, seen on 1.10.5. */
import type { NomadRuns } from "../nomad-runs.js";
import { DEFAULT_NOMAD_LIMITS, NomadCalls } from "./calls.js";
import { decodeRuns, decodeUsage } from "./decode-runs.js";
import type { NomadSettings } from "./settings.js";

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadRuns(settings: NomadSettings): Promise<NomadRuns> {
  const calls = await NomadCalls.create(settings, DEFAULT_NOMAD_LIMITS);
  return {
    runs: (nodeId, options = {}) =>
      calls.get({ operation: "runs", rules: "node:read, namespace:read-job", path: `/v1/node/${encodeURIComponent(nodeId)}/allocations`, stale: true }, decodeRuns, options),
    usage: (allocationId, options = {}) =>
      calls.get({ operation: "usage", rules: "namespace:read-job", path: `/v1/client/allocation/${encodeURIComponent(allocationId)}/stats` }, decodeUsage, options),
  };
}
