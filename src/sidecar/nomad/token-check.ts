/**
 * Whether Nomad knows a caller's token: GET /v1/acl/token/self with that token, answered by the servers themselves (no
 * `stale`), so that a revoked token ends at once. Seen on 1.10.5: 403 for an unknown token (404 before 1.10.1), and 200
 * for any text at all where ACLs are off, with the accessor `acls-disabled`; so only an answer that repeats the token
 * counts. The token is in no message. A workload's identity (a JWT) is not taken.
 */
import { NomadError } from "../nomad-api.js";
import type { NomadTokenCheck, NomadTokenVerdict } from "../nomad-token.js";
import type { NomadSettings } from "./settings.js";
import { loadTls } from "./tls.js";
import { nomadTransport } from "./transport.js";

const OPERATION = "token";
const LIMITS = { timeoutMs: 5_000, maxBytes: 256 * 1024 };
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Rejects with NomadSettingsError; opens no connection. */
export async function createNomadTokenCheck(settings: NomadSettings): Promise<NomadTokenCheck> {
  const transport = nomadTransport(settings.endpoint, settings.address, await loadTls(settings.tls));
  const path = `/v1/acl/token/self${settings.region === undefined ? "" : `?region=${encodeURIComponent(settings.region)}`}`;
  return async (token, signal) => {
    if (!UUID.test(token)) return { known: false, reason: "refused" };
    const headers = { accept: "application/json", "x-nomad-token": token };
    const { status, body } = await transport.answer({ operation: OPERATION, path, headers, ...LIMITS, ...(signal && { signal }) });
    if (status === 200) return verdictOf(token, body, settings.address);
    if (status === 400) return { known: false, reason: "no-acl" };
    if (status === 403 || status === 404) return { known: false, reason: "refused" };
    const code = status === 429 ? "rate-limited" : status >= 500 ? "server" : "protocol";
    throw new NomadError(code, OPERATION, `Nomad ${OPERATION}: answered ${String(status)}`, { status, address: settings.address });
  };
}

function verdictOf(token: string, body: Uint8Array, address: string): NomadTokenVerdict {
  const { AccessorID: accessor, SecretID: secret } = objectOf(body, address);
  if (accessor === "acls-disabled") return { known: false, reason: "no-acl" };
  return typeof accessor === "string" && UUID.test(accessor) && secret === token ? { known: true, accessor } : { known: false, reason: "refused" };
}

function objectOf(body: Uint8Array, address: string): { AccessorID?: unknown; SecretID?: unknown } {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString("utf8"));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below: whatever it is, it is not a token's description.
  }
  throw new NomadError("protocol", OPERATION, `Nomad ${OPERATION}: not an answer of Nomad's`, { address });
}
