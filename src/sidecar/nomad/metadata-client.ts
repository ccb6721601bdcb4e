/** Sets dynamic metadata of a Nomad client. Specification: Nomad's HTTP API, seen on 1.10.5. */
import type { NomadCallOptions } from "../nomad-api.js";
import type { NodeMeta } from "../node-metadata.js";
import { DEFAULT_NOMAD_LIMITS, NomadCalls } from "./calls.js";
import { object } from "./decode.js";
import type { NomadSettings } from "./settings.js";

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadMetadata(settings: NomadSettings) {
  const calls = await NomadCalls.create(settings, DEFAULT_NOMAD_LIMITS);
  /** Null takes a key away; keys that are not named stay. Rejects with NomadError. */
  return async (nodeId: string, meta: NodeMeta, options: NomadCallOptions = {}): Promise<void> => {
    const call = { operation: "nodeMetadata", rules: "node:write", method: "POST", path: "/v1/client/metadata", body: { NodeID: nodeId, Meta: meta } } as const;
    await calls.get(call, (value) => object(object(value, "answer")["Meta"], "Meta"), options);
  };
}
