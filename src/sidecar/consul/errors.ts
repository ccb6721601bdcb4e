/**
 * How Consul's refusals and the socket's failures become a ConsulError. Consul has no error codes
 * beyond the HTTP status, so its constant texts are read here, and nowhere else (acl/errors.go,
 * agent/structs/errors.go, agent/http.go of Consul).
 */
import { ConsulError, type ConsulErrorCode } from "../consul-api.js";

export interface CallContext {
  operation: string;
  /** Displayed in messages. */
  address: string;
  /** The ACL rule that this call needs, for the refusals in which Consul does not name it. */
  needs: string;
}

/** Excerpts of foreign text in messages are one line of at most this length. */
const EXCERPT_LENGTH = 200;

export function excerpt(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim();
  return line.length > EXCERPT_LENGTH ? `${line.slice(0, EXCERPT_LENGTH)}…` : line;
}

export function statusError(call: CallContext, status: number, body: string): ConsulError {
  const text = status === 409 ? (firstTxnError(body) ?? body) : body;
  const code = codeOf(status, text);
  const said = excerpt(text) || "no reason given";
  const fields = { status, address: call.address };
  if (code !== "permission") {
    return new ConsulError(code, call.operation, `${call.operation}: Consul answered ${status}: ${said}`, fields);
  }
  if (/ACL not found/.test(text)) {
    const message = `${call.operation}: Consul does not know the ACL token (expired, deleted or mistyped)`;
    return new ConsulError(code, call.operation, message, fields);
  }
  const permission = permissionNamed(text) ?? (/Permission denied/.test(text) ? call.needs : undefined);
  if (permission === undefined) {
    return new ConsulError(code, call.operation, `${call.operation}: Consul refused: ${said}`, fields);
  }
  const message = `${call.operation}: the ACL token lacks ${permission}`;
  return new ConsulError(code, call.operation, message, { ...fields, permission });
}

const UNKNOWN = /unknown (service|check)|does not have associated TTL/i;

function codeOf(status: number, text: string): ConsulErrorCode {
  if (status === 429) return "rate-limited";
  if (status === 403 || (status === 409 && /Permission denied/.test(text))) return "permission";
  // A 404 of Consul says what it does not know; any other is from something in its place.
  if (status === 404) return UNKNOWN.test(text) ? "not-found" : "protocol";
  if (status >= 500) {
    // Servers and agents before 1.9 send some refusals as 500.
    if (/Permission denied|ACL not found/.test(text)) return "permission";
    if (UNKNOWN.test(text)) return "not-found";
    if (/No cluster leader|No known Consul servers/.test(text)) return "no-leader";
    // "user event exceeds configured limit of 512 bytes": trying again would never help.
    if (/exceeds (configured )?limit of \d+ bytes/.test(text)) return "rejected";
    return "server";
  }
  return status >= 400 ? "rejected" : "protocol";
}

/** From `… lacks permission 'key:write' on "ibrl/v1/x"` the words `key:write on "ibrl/v1/x"`. */
function permissionNamed(text: string): string | undefined {
  const match = /lacks permission '([a-z_-]+:[a-z]+)'(?: on ("(?:[^"\\]|\\.)*"|[^\s.]+))?/.exec(text);
  if (match === null) return undefined;
  return match[2] === undefined ? match[1] : `${match[1]} on ${excerpt(match[2])}`;
}

/**
 * Of a transaction that was not applied, what was wrong with the first of its operations that failed. Searched for instead of
 * parsed: of an error answer no more than its beginning is kept.
 */
function firstTxnError(body: string): string | undefined {
  const what = /"What":\s*("(?:[^"\\]|\\.)*")/.exec(body)?.[1];
  return what === undefined ? undefined : String(JSON.parse(what));
}

/** A failure below HTTP, or of what we asked (a character that no header may carry). */
export function socketError(call: CallContext, error: Error & { code?: unknown; isValidation?: unknown }): ConsulError {
  const { operation, address } = call;
  const code = typeof error.code === "string" ? error.code : "";
  if (code.startsWith("HPE_")) {
    const message = `${operation}: ${address} does not speak HTTP (${code})`;
    return new ConsulError("protocol", operation, message, { address }, { cause: error });
  }
  if (error.isValidation === true || code === "ERR_INVALID_CHAR" || code === "ERR_UNESCAPED_CHARACTERS") {
    const message = `${operation}: cannot be asked: ${excerpt(error.message)}`;
    return new ConsulError("rejected", operation, message, { address });
  }
  const message = `${operation}: no answer from Consul at ${address}: ${excerpt(error.message) || code}`;
  return new ConsulError("unreachable", operation, message, { address }, { cause: error });
}
