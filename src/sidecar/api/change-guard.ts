/**
 * What an HTTP request must be to change anything, or to read what workloads say: a POST with JSON (or a GET of logs), of no other site's page, and by somebody known. A page in the
 * operator's browser can send a form or a plain-text POST anywhere; it cannot send JSON, nor a header of ours, without
 * asking first (CORS), and nobody here says yes. Each check alone would do; each is cheap.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type Caller, CallerError, type CallerGuard } from "./caller.js";
import { identitiesOf } from "./certificate-identity.js";
import { isOwnOrigin } from "./host-guard.js";
import { type Answer, errorAnswer } from "./http-answer.js";

const STATUS = { unauthenticated: 401, denied: 403, unavailable: 503 } as const;

/** Reads headers only. Rejects with nothing but a fault of ours. */
export async function admitChange(request: IncomingMessage, guard: CallerGuard, signal: AbortSignal): Promise<{ caller: Caller } | { refusal: Answer }> {
  const { origin, host, authorization } = request.headers;
  const site = request.headers["sec-fetch-site"];
  if ((origin !== undefined && !isOwnOrigin(origin, host)) || (site !== undefined && site !== "same-origin" && site !== "none")) {
    return { refusal: errorAnswer(403, "a page of another site may not change anything here") };
  }
  if (request.method === "POST" && !/^application\/json\s*(?:;|$)/i.test(request.headers["content-type"] ?? "")) {
    return { refusal: errorAnswer(415, "send the content type application/json") };
  }
  const nomadToken = request.headers["x-nomad-token"];
  try {
    const caller = await guard.admit({ identities: identitiesOfPeer(request.socket), authorization, nomadToken: Array.isArray(nomadToken) ? nomadToken[0] : nomadToken }, signal);
    return { caller };
  } catch (error) {
    if (!(error instanceof CallerError)) throw error;
    return { refusal: errorAnswer(STATUS[error.code], error.message) };
  }
}

/** Empty where there is no TLS, or no certificate that it verified. */
export function identitiesOfPeer(socket: Socket): string[] {
  return socket instanceof TLSSocket && socket.authorized ? identitiesOf(socket.getPeerCertificate()) : [];
}
