/**
 * A gRPC port: the server that services are added to, with its limits, health, and an end in order. In plain text on
 * loopback, or over mTLS anywhere (bind-address.ts). The listening socket is ours and not grpc-js's, which has no limit
 * on connections; sockets that are let in are handed to it.
 */
import { createServer as createTcpServer, type Server as TcpServer, type AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import { type Clock, systemClock } from "../clock.js";
import type { HostPort } from "../settings.js";
import { checkBind, isLoopback, listen } from "./bind-address.js";
import { limitCalls } from "./call-guard.js";
import { CALL_BUDGET, type CallBudget, CallLimits } from "./call-limits.js";
import { CONNECTION_LIMITS, type ConnectionLimits, Connections } from "./connections.js";
import { OpenCalls } from "./open-calls.js";
import type { TlsFiles } from "./tls-files.js";

export interface GrpcPortOptions {
  bind: HostPort;
  insecureBind: boolean;
  /** mTLS; plain text without. */
  tls?: TlsFiles | undefined;
  limits?: Partial<ConnectionLimits & CallBudget>;
  /** A spawn with its policy and environment is a few kilobytes. Default: a megabyte. */
  maxRequestBytes?: number;
  logger: Logger;
  clock?: Clock;
  /** Method path and gRPC status code, once for each call. */
  onAnswer?: (path: string, code: number) => void;
}

const MAX_REQUEST_BYTES = 1024 * 1024;
/** What the last statuses need to leave the process. */
const FLUSH_MS = 250;
const SHUTTING_DOWN = { code: status.UNAVAILABLE, details: "the sidecar is shutting down" };

export class GrpcPort {
  readonly server: Server;
  readonly #calls: OpenCalls;
  readonly #health: HealthImplementation;
  readonly #closing = new AbortController();
  readonly #connections: Connections;
  #listener: TcpServer | undefined;

  /** `service`: the one whose health is told beside the server's own. */
  constructor(
    private readonly options: GrpcPortOptions,
    private readonly service: string,
  ) {
    const { limits, clock = systemClock, maxRequestBytes = MAX_REQUEST_BYTES } = options;
    this.#calls = new OpenCalls(options.onAnswer);
    this.#connections = new Connections({ ...CONNECTION_LIMITS, ...limits });
    this.server = new Server({
      interceptors: [this.#calls.interceptor, limitCalls(new CallLimits({ ...CALL_BUDGET, ...limits }, clock), this.#connections)],
      "grpc.max_receive_message_length": maxRequestBytes,
      "grpc.max_concurrent_streams": 100,
      // Half-open connections of clients that vanished are found, and idle ones are not kept for ever.
      "grpc.keepalive_time_ms": 60_000,
      "grpc.keepalive_timeout_ms": 20_000,
      "grpc.max_connection_idle_ms": 600_000,
    });
    this.#health = new HealthImplementation({ "": "NOT_SERVING", [service]: "NOT_SERVING" });
    this.#health.addToServer(this.server);
  }

  /** Aborts once a close has given up waiting for calls. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Resolves with the actual address. Rejects with BindError. Health says NOT_SERVING until `setServing(true)`. */
  async start(): Promise<HostPort> {
    const { bind, insecureBind, logger, tls } = this.options;
    checkBind("grpc", bind, { insecureBind, mtls: tls !== undefined }, logger);
    const { injectConnection } = this.server.createConnectionInjector(ServerCredentials.createInsecure());
    const secure = tls === undefined ? undefined : createTlsServer({ ...tls.options, ALPNProtocols: ["h2"] }, injectConnection);
    if (secure !== undefined) tls?.keep(secure);
    secure?.on("tlsClientError", (error) => logger.debug({ err: error, server: "grpc" }, "tls client refused"));
    this.#listener = createTcpServer({ noDelay: true }, (socket) => {
      if (!this.#connections.admit(socket)) return;
      if (secure === undefined) injectConnection(socket);
      else secure.emit("connection", socket);
    });
    await listen("grpc", this.#listener, bind, logger);
    return { host: bind.host, port: (this.#listener.address() as AddressInfo).port };
  }

  /** The port at which others reach this server over mTLS by `address`; 0 where they do not. */
  portAt(address: string): number {
    const { bind, tls } = this.options;
    const reached = tls !== undefined && !isLoopback(bind.host) && [address, "0.0.0.0", "::"].includes(bind.host);
    return reached ? ((this.#listener?.address() as AddressInfo | null | undefined)?.port ?? 0) : 0;
  }

  /** What gRPC health answers; health watchers hear of the change. */
  setServing(serving: boolean): void {
    for (const service of ["", this.service]) this.#health.setStatus(service, serving ? "SERVING" : "NOT_SERVING");
  }

  /**
   * No new calls; streams end at once with UNAVAILABLE, other calls get `graceMs` and then end the same way. Takes
   * at most `graceMs` and a quarter of a second.
   */
  async close(graceMs: number): Promise<void> {
    const clock = this.options.clock ?? systemClock;
    const grace = new AbortController();
    this.setServing(false);
    this.#listener?.close();
    this.server.tryShutdown(() => grace.abort());
    this.#calls.end("streams", SHUTTING_DOWN);
    await clock.sleep(graceMs, grace.signal);
    this.#calls.end("all", SHUTTING_DOWN);
    this.#closing.abort();
    if (!grace.signal.aborted) await clock.sleep(FLUSH_MS, grace.signal);
    this.server.forceShutdown();
    this.#connections.cutAll();
  }
}
