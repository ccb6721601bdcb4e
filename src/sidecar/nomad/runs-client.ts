/** NomadRuns over HTTP. Specification: Nomad's HTTP API, seen on 1.10.5. */
import type { NomadRuns } from "../nomad-runs.js";
import { DEFAULT_NOMAD_LIMITS, NomadCalls } from "./calls.js";
import { decodePlaced, decodeRuns, decodeUsage } from "./decode-runs.js";
import type { NomadSettings } from "./settings.js";

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadRuns(settings: NomadSettings): Promise<NomadRuns> {
  const calls = await NomadCalls.create(settings, DEFAULT_NOMAD_LIMITS);
  const allocationsOf = (nodeId: string) => `/v1/node/${encodeURIComponent(nodeId)}/allocations`;
  return {
    placed: (nodeId, { since, waitMs }, options = {}) =>
      calls.get(
        { operation: "placed", rules: "node:read, namespace:read-job", path: allocationsOf(nodeId), stale: true, ...(since === undefined ? {} : { query: { index: since, wait: `${String(waitMs)}ms` } }) },
        (value, index) => ({ allocations: decodePlaced(value), index }),
        // Nomad adds up to a sixteenth, so that those who wait do not all come back at once.
        since === undefined ? options : { timeoutMs: waitMs * 1.0625 + DEFAULT_NOMAD_LIMITS.timeoutMs, ...options },
      ),
    runs: (nodeId, options = {}) =>
      calls.get({ operation: "runs", rules: "node:read, namespace:read-job", path: allocationsOf(nodeId), stale: true }, decodeRuns, options),
    usage: (allocationId, options = {}) =>
      calls.get({ operation: "usage", rules: "namespace:read-job", path: `/v1/client/allocation/${encodeURIComponent(allocationId)}/stats` }, decodeUsage, options),
  };
}
