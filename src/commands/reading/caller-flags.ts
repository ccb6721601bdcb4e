/** Who asks a sidecar for a change: its bearer token from a file, or the caller's own Nomad token (docs/ports.md). */
import { readFileSync } from "node:fs";
import { Flags } from "@oclif/core";
import { UsageError } from "./usage-error.js";

export const callerFlags = {
  "api-token-file": Flags.string({
    summary: "File with the sidecar's bearer token: api.token of its state folder. A Nomad token comes from NOMAD_TOKEN.",
    env: "IBRL_API_TOKEN_FILE",
    helpValue: "FILE",
  }),
};

/** gRPC metadata. Throws UsageError. */
export function callerHeaders(flags: { "api-token-file"?: string | undefined }, env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const { NOMAD_TOKEN: nomadToken } = env;
  return {
    ...(flags["api-token-file"] === undefined ? {} : { authorization: `Bearer ${tokenIn(flags["api-token-file"])}` }),
    ...(nomadToken === undefined || nomadToken === "" ? {} : { "x-nomad-token": nomadToken }),
  };
}

function tokenIn(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new UsageError(`--api-token-file ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
