/**
 * What it takes to ask a service that wants TLS and a token, and the asking: `fetch` takes no certificate authority,
 * so an access goes over node:https and gives the same Response.
 */
import { request } from "node:https";
import { text } from "node:stream/consumers";

/** PEM texts, and Consul's token. */
export interface HttpsAccess {
  ca: string;
  cert: string;
  key: string;
  token: string;
}

export interface HttpsRequest {
  method?: string;
  body?: string | Uint8Array;
  signal?: AbortSignal;
  /** In the place of the access's own. */
  token?: string;
}

/** Rejects where there is no answer, or the server's certificate is not of this authority and for this host. */
export function fetchOverTls(url: string, { method = "GET", body, signal, token }: HttpsRequest, access: HttpsAccess): Promise<Response> {
  return new Promise((resolve, reject) => {
    const { ca, cert, key } = access;
    const headers = { "X-Consul-Token": token ?? access.token, ...(body !== undefined && { "Content-Length": Buffer.byteLength(body) }) };
    const asked = request(url, { method, ca, cert, key, headers, agent: false, ...(signal && { signal }) }, (answer) => {
      text(answer).then((content) => resolve(new Response(content, { status: answer.statusCode ?? 500 })), reject);
    });
    asked.once("error", reject);
    asked.end(body);
  });
}
