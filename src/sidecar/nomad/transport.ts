/**
 * One GET to a Nomad agent over TCP, TLS or a unix socket, within a deadline, an abort signal and a size. It knows
 * HTTP and how a connection fails; what a status or a body means is client.ts. Redirects are not followed: a token
 * must not travel to where it was not sent. A connection for each call: a call every few seconds gains nothing from
 * keeping one, and a kept one may be closed under the next call.
 */
import { type IncomingMessage, type RequestOptions, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { NomadError, type NomadErrorCode } from "../nomad-api.js";
import type { NomadEndpoint } from "./settings.js";

export interface NomadRequest {
  operation: string;
  /** Path with query, already encoded. */
  path: string;
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal;
}

export interface NomadAnswer {
  status: number;
  body: Uint8Array;
}

export type NomadTransport = (request: NomadRequest) => Promise<NomadAnswer>;

/** The transport rejects with NomadError: unreachable, timeout, aborted, too-large or protocol. */
export function nomadTransport(endpoint: NomadEndpoint, address: string, tls: ConnectionOptions): NomadTransport {
  const secure = endpoint.kind === "tcp" && endpoint.secure;
  const where: RequestOptions =
    endpoint.kind === "unix" ? { socketPath: endpoint.socketPath } : { host: endpoint.host, port: endpoint.port };

  return (call) =>
    new Promise((resolve, reject) => {
      const failed = (code: NomadErrorCode, text: string, errno?: string): NomadError =>
        new NomadError(code, call.operation, `Nomad ${call.operation}: ${text}`, errno === undefined ? { address } : { address, errno });
      if (call.signal?.aborted === true) {
        reject(failed("aborted", "aborted before it was sent"));
        return;
      }
      const options: RequestOptions = { ...where, path: call.path, headers: { ...call.headers }, agent: false };
      const request = secure ? httpsRequest({ ...options, ...tls }) : httpRequest(options);
      const onAbort = (): void => fail(failed("aborted", "aborted"));
      const timer = setTimeout(() => fail(failed("timeout", `no answer within ${String(call.timeoutMs)} ms`)), call.timeoutMs);
      call.signal?.addEventListener("abort", onAbort, { once: true });

      // The promise takes its first outcome; whatever the dying socket says afterwards is heard and dropped.
      const release = (): void => {
        clearTimeout(timer);
        call.signal?.removeEventListener("abort", onAbort);
        request.destroy();
      };
      const fail = (error: NomadError): void => {
        release();
        reject(error);
      };
      request.on("error", (error: NodeJS.ErrnoException) => fail(connectionError(error, failed)));
      request.on("response", (response) => {
        collect(response, call.maxBytes).then(
          (body) => {
            release();
            resolve({ status: response.statusCode ?? 0, body });
          },
          (error: NodeJS.ErrnoException) => {
            fail(
              error instanceof OverLimit
                ? failed("too-large", `the answer is over ${String(call.maxBytes)} bytes`)
                : connectionError(error, failed),
            );
          },
        );
      });
      request.end();
    });
}

class OverLimit extends Error {}

async function collect(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw new OverLimit();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw new OverLimit();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}

function connectionError(
  error: NodeJS.ErrnoException,
  failed: (code: NomadErrorCode, text: string, errno?: string) => NomadError,
): NomadError {
  const errno = error.code ?? "unknown error";
  // HPE_*: node's HTTP parser met bytes that are not HTTP, such as a TLS port asked in plain text.
  if (errno.startsWith("HPE_")) return failed("protocol", `the answer is not HTTP (${errno})`, errno);
  return failed("unreachable", `no connection (${errno})`, errno);
}
