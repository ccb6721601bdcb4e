/** What went wrong, as a code, a sentence with what to do, and the exit code. Matched by code, never by text. */
import { Errors } from "@oclif/core";
import type { ConsulErrorCode } from "../../sidecar/consul-api.js";
import type { ApiErrorCode } from "../../sidecar/api/api-error.js";
import { printableLines } from "../views/printable.js";

export interface Failure {
  code: string;
  message: string;
  exitCode: number;
}

/** 1 is any other error. 3 is mostly decided where it is seen (reading-command.ts). */
export const EXIT = { usage: 2, verification: 3 } as const;

const WITH_CONSUL = "To read without a sidecar, straight from Consul, add --consul.";
const API_ADVICE: Partial<Record<ApiErrorCode, string>> = {
  unreachable: WITH_CONSUL,
  deadline: WITH_CONSUL,
  tls: "--tls-ca, --tls-cert, --tls-key and --tls-server-name are for a sidecar that speaks mTLS (its --tls-cert-file), and for no other.",
  busy: "Try again in a second.",
  protocol: "--grpc-addr takes a sidecar's gRPC port (8000 unless it was changed), not its HTTP port.",
  unimplemented: "--grpc-addr takes the address of a sidecar, or of a node of the first IBRL cluster.",
};
const CONSUL_ADVICE: Partial<Record<ConsulErrorCode, string>> = {
  unreachable: "Set CONSUL_HTTP_ADDR to the agent's address, or ask a sidecar by leaving out --consul.",
  timeout: "The agent is busy or cut off from its servers; try again.",
  permission: "Reading takes node:read, service:read and key:read on ibrl/v1/: set CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE to a token that has them.",
  "no-leader": "Consul has no leader at the moment; try again when its servers have elected one.",
  protocol: "CONSUL_HTTP_ADDR should be the HTTP API of a Consul agent.",
};

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: "error", message: printableLines(String(error)), exitCode: 1 };
  const exitCode = exitCodeOf(error);
  const code = exitCode === EXIT.usage ? "usage" : (codeOf(error) ?? "error");
  const advice = adviceOf(error);
  return { code, exitCode, message: printableLines(advice === undefined ? error.message : `${error.message}\n${advice}`) };
}

function exitCodeOf(error: Error): number {
  if (error instanceof Errors.CLIError) return error.oclif.exit ?? 1;
  if (error.name === "MergeError" && codeOf(error) === "unverified") return EXIT.verification;
  return error.name === "ConsulSettingsError" || error.name === "SettingsError" ? EXIT.usage : 1;
}

/** By name and code, since the classes are loaded only with their source. */
function adviceOf(error: Error): string | undefined {
  const code = codeOf(error);
  if (error.name === "ApiError") return API_ADVICE[code as ApiErrorCode];
  return error.name === "ConsulError" ? CONSUL_ADVICE[code as ConsulErrorCode] : undefined;
}

function codeOf(error: Error): string | undefined {
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}
