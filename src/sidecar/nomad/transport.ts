/**
 * One request to a Nomad agent over TCP, TLS or a unix socket, within a deadline, an abort signal and a size. It knows
 * HTTP and how a connection fails; what a status or a body means is calls.ts. Redirects are not followed: a token must
 * not travel to where it was not sent. A connection for each call: a call every few seconds gains nothing from keeping
 * one, and a kept one may be closed under the next call.
 */
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { NomadError, type NomadErrorCode } from "../nomad-api.js";
import type { NomadEndpoint } from "./settings.js";

export interface NomadRequest {
  operation: string;
  method?: "GET" | "PUT" | "POST" | "DELETE";
  /** Path with query, already encoded. */
  path: string;
  headers: Readonly<Record<string, string>>;
  /** JSON text. */
  body?: string;
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal;
}

export interface NomadAnswer {
  status: number;
  body: Uint8Array;
  /** X-Nomad-Index */
  index?: string;
}

/** Status 200: bytes as they come; who reads slowly slows the sender down, and leaving the loop ends the connection. */
export type NomadStream = { status: number } & ({ chunks: AsyncIterable<Uint8Array> } | { body: Uint8Array });

/** Both reject with NomadError: unreachable, timeout, aborted, too-large or protocol. */
export interface NomadTransport {
  answer(request: NomadRequest): Promise<NomadAnswer>;
  /** The deadline ends with the headers of the answer, and the size counts only where the status is no 200. */
  stream(request: NomadRequest): Promise<NomadStream>;
}

type Failed = (code: NomadErrorCode, text: string, errno?: string) => NomadError;

export function nomadTransport(endpoint: NomadEndpoint, address: string, tls: ConnectionOptions): NomadTransport {
  const secure = endpoint.kind === "tcp" && endpoint.secure;
  const where: RequestOptions =
    endpoint.kind === "unix" ? { socketPath: endpoint.socketPath } : { host: endpoint.host, port: endpoint.port };

  const start = ({ method = "GET", path, headers, body }: NomadRequest): ClientRequest => {
    const length = body === undefined ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) };
    const options: RequestOptions = { ...where, method, path, headers: { ...headers, ...length }, agent: false };
    return secure ? httpsRequest({ ...options, ...tls }) : httpRequest(options);
  };
  const failing = (call: NomadRequest): Failed => (code, text, errno) =>
    new NomadError(code, call.operation, `Nomad ${call.operation}: ${text}`, errno === undefined ? { address } : { address, errno });

  /** Settles by what `take` makes of the response, or by what fails first. */
  const exchange = <T>(call: NomadRequest, take: (response: IncomingMessage, release: () => void) => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const failed = failing(call);
      if (call.signal?.aborted === true) {
        reject(failed("aborted", "aborted before it was sent"));
        return;
      }
      const request = start(call);
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
        take(response, () => clearTimeout(timer)).then(
          (value) => {
            if (!isOpen(value)) release();
            resolve(value);
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
      request.end(call.body);
    });

  return {
    answer: (call) => exchange(call, async (response) => {
        const index = response.headers["x-nomad-index"];
        const body = await collect(response, call.maxBytes);
        return { status: response.statusCode ?? 0, body, ...(typeof index === "string" ? { index } : {}) };
      }),
    stream: (call) =>
      exchange(call, async (response, headersCame) => {
        const status = response.statusCode ?? 0;
        if (status !== 200) return { status, body: await collect(response, call.maxBytes) };
        headersCame();
        return { status, chunks: chunksOf(response, failing(call), call.signal) };
      }),
  };
}

/** A stream is released by who reads it. */
function isOpen(value: unknown): boolean {
  return typeof value === "object" && value !== null && "chunks" in value;
}

async function* chunksOf(response: IncomingMessage, failed: Failed, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const end = (): void => void response.destroy();
  signal?.addEventListener("abort", end, { once: true });
  try {
    if (signal?.aborted === true) throw failed("aborted", "aborted");
    for await (const chunk of response as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (error instanceof NomadError) throw error;
    throw signal?.aborted === true ? failed("aborted", "aborted") : connectionError(error as NodeJS.ErrnoException, failed);
  } finally {
    signal?.removeEventListener("abort", end);
    response.destroy();
  }
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

function connectionError(error: NodeJS.ErrnoException, failed: Failed): NomadError {
  const errno = error.code ?? "unknown error";
  // HPE_*: node's HTTP parser met bytes that are not HTTP, such as a TLS port asked in plain text.
  if (errno.startsWith("HPE_")) return failed("protocol", `the answer is not HTTP (${errno})`, errno);
  return failed("unreachable", `no connection (${errno})`, errno);
}
