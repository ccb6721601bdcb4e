/**
 * The HTTP side: plain node:http around http-routes.ts, with every size and time bounded. No CORS header is ever
 * sent, so no other origin's page can read an answer.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Logger } from "pino";
import { type Clock, systemClock } from "../clock.js";
import type { HostPort } from "../settings.js";
import { checkBind, listen } from "./bind-address.js";
import { CALL_BUDGET, type CallBudget, CallLimits } from "./call-limits.js";
import type { CallerGuard } from "./caller.js";
import { admitChange, identitiesOfPeer } from "./change-guard.js";
import { clientOf, CONNECTION_LIMITS, type ConnectionLimits, Connections } from "./connections.js";
import { isOwnHost } from "./host-guard.js";
import { type Answer, errorAnswer } from "./http-answer.js";
import { attempt, type RouteContext, routeFor, routeName } from "./http-routes.js";
import type { TlsFiles } from "./tls-files.js";

export interface HttpLimits extends ConnectionLimits, CallBudget {
  /** Of a request's headers together, and of its body. */
  maxHeaderBytes: number;
  maxBodyBytes: number;
  /** For the whole header, for the whole request, and for a connection on which nothing moves. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  idleTimeoutMs: number;
  /** How often the first two are looked at. */
  checkIntervalMs: number;
}

/** A listing is read by a person or a scraper every few seconds; none of them comes near these. */
export const HTTP_LIMITS: HttpLimits = {
  ...CONNECTION_LIMITS,
  ...CALL_BUDGET,
  maxHeaderBytes: 8 * 1024,
  maxBodyBytes: 64 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  checkIntervalMs: 5_000,
};

/** Health is outside the limits on calls: whoever fills them must not make the node look dead. */
const UNLIMITED = new Set(["/healthz", "/readyz"]);
const OVER_LIMIT = errorAnswer(429, "too many calls of this client, or in all: try again in a second");

export interface HttpApiOptions extends RouteContext {
  bind: HostPort;
  insecureBind: boolean;
  guard: CallerGuard;
  /** mTLS; plain text without. */
  tls?: TlsFiles | undefined;
  /** Further names that clients reach this server by, without ports. */
  hostNames?: readonly string[];
  logger: Logger;
  limits?: Partial<HttpLimits>;
  clock?: Clock;
  onAnswer?: (route: string, status: number) => void;
}

export class HttpApi {
  readonly #server: Server;
  readonly #limits: HttpLimits;
  readonly #closing = new AbortController();
  readonly #connections: Connections;
  readonly #calls: CallLimits;
  #draining = false;

  constructor(private readonly options: HttpApiOptions) {
    this.#limits = { ...HTTP_LIMITS, ...options.limits };
    const limits = this.#limits;
    this.#connections = new Connections(limits);
    this.#calls = new CallLimits(limits, options.clock ?? systemClock);
    this.#server = serverOf(
      options.tls,
      {
        maxHeaderSize: limits.maxHeaderBytes,
        headersTimeout: limits.headersTimeoutMs,
        requestTimeout: limits.requestTimeoutMs,
        connectionsCheckingInterval: limits.checkIntervalMs,
        keepAliveTimeout: 5_000,
        // Ours says what to do; node's own answer to a missing Host is an empty 400.
        requireHostHeader: false,
      },
      (request, response) => void this.#serve(request, response),
    );
    // First of the listeners: nothing is made for a connection that is refused.
    this.#server.prependListener("connection", (socket: Socket) => this.#connections.admit(socket));
    this.#server.timeout = limits.idleTimeoutMs;
  }

  /** Resolves with the actual address. Rejects with BindError. */
  async start(): Promise<HostPort> {
    const { bind, insecureBind, logger, tls } = this.options;
    checkBind("http", bind, { insecureBind, mtls: tls !== undefined }, logger);
    await listen("http", this.#server, bind, logger);
    return { host: bind.host, port: (this.#server.address() as AddressInfo).port };
  }

  /** No new connections; answers under way get `graceMs`, then their connections are cut. */
  async close(graceMs: number): Promise<void> {
    this.#draining = true;
    const grace = new AbortController();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve())).finally(() => grace.abort());
    this.#server.closeIdleConnections();
    await (this.options.clock ?? systemClock).sleep(graceMs, grace.signal);
    this.#closing.abort();
    this.#server.closeAllConnections();
    this.#connections.cutAll();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { logger, onAnswer } = this.options;
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    response.once("error", (error) => logger.debug({ err: error }, "http client went away"));
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    const ticket = UNLIMITED.has(path) ? { end: () => {} } : this.#calls.begin(clientName(request));
    response.once("close", () => ticket?.end());
    const answer = ticket === undefined ? OVER_LIMIT : await this.#answer(request, path, AbortSignal.any([gone.signal, this.#closing.signal]));
    onAnswer?.(routeName(path), answer.status);
    // Neither a client that left nor our own shutdown is a failure.
    if (answer.failure !== undefined && !gone.signal.aborted && !this.#closing.signal.aborted) {
      logger.error({ err: answer.failure, path }, "http request failed");
    }
    if (response.destroyed) return;
    const timer = setTimeout(() => request.socket.destroy(), this.#limits.callMs);
    response.once("close", () => clearTimeout(timer));
    this.#send(request, response, answer);
  }

  async #answer(request: IncomingMessage, path: string, signal: AbortSignal): Promise<Answer> {
    const { bind, hostNames = [] } = this.options;
    const { localAddress } = request.socket;
    if (!isOwnHost(request.headers.host, { boundHost: bind.host, localAddress, names: hostNames })) {
      return errorAnswer(403, "the Host header names another host than this server");
    }
    const found = routeFor(request.method ?? "", path);
    if ("refusal" in found) return this.#afterBody(request, found.refusal);
    const { route } = found;
    if ("read" in route) return this.#afterBody(request, () => route.read(this.options, signal));
    const admitted = await admitChange(request, this.options.guard, signal);
    if ("refusal" in admitted) return this.#afterBody(request, admitted.refusal);
    const query = new URLSearchParams((request.url ?? "").split("?", 2)[1]);
    return this.#afterBody(request, (body) => route.change(this.options.workloads, { caller: admitted.caller, body, query }, signal));
  }

  /** A body is read even where nobody wants it: bytes left unread would reset the connection before the client sees the answer. */
  async #afterBody(request: IncomingMessage, answer: Answer | ((body: Buffer) => Answer | Promise<Answer>)): Promise<Answer> {
    const body = await bodyOf(request, this.#limits.maxBodyBytes);
    if (body === undefined) return errorAnswer(413, `the body is longer than ${String(this.#limits.maxBodyBytes)} bytes`);
    if (typeof answer !== "function") return answer;
    const { remoteAddress, remotePort } = request.socket;
    const clientsTurn = this.#connections.working(`${String(remoteAddress)}:${String(remotePort)}`);
    try {
      return await attempt(() => answer(body));
    } finally {
      clientsTurn();
    }
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Content-Type", answer.contentType ?? "text/plain; charset=utf-8");
    if (answer.status === 429) response.setHeader("Retry-After", "1");
    if (answer.allow !== undefined) response.setHeader("Allow", answer.allow);
    // A body that was not read to its end would be taken for the next request; a kept connection would hold up close.
    if (!request.complete || this.#draining) response.setHeader("Connection", "close");
    response.setHeader("Content-Length", Buffer.byteLength(answer.body));
    response.writeHead(answer.status);
    response.end(answer.body, () => {
      if (!request.complete) request.destroy();
    });
  }
}

function serverOf(tls: TlsFiles | undefined, options: ServerOptions, listener: RequestListener): Server {
  if (tls === undefined) return createServer(options, listener);
  const server = createTlsServer({ ...options, ...tls.options }, listener);
  tls.keep(server);
  return server;
}

function clientName({ socket }: IncomingMessage): string {
  const [identity] = identitiesOfPeer(socket);
  return identity === undefined ? clientOf(socket.remoteAddress ?? "unknown") : `certificate ${identity}`;
}

/** Undefined when it is over the limit or breaks off. */
async function bodyOf(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  if (request.destroyed || Number(request.headers["content-length"] ?? 0) > maxBytes) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve) => {
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      // Still read on until the answer is out: bytes left unread would reset the connection before the client sees it.
      if (bytes > maxBytes) resolve(undefined);
      else chunks.push(chunk);
    });
    request.once("end", () => resolve(Buffer.concat(chunks)));
    request.once("error", () => resolve(undefined));
    request.once("close", () => resolve(undefined));
  });
}
