/**
 * The gRPC side: ClusterService for the ancestor's clients and ours, health and reflection beside it. In plain text on
 * loopback, or over mTLS anywhere (bind-address.ts). The listening socket is ours and not grpc-js's, which has no limit
 * on connections; sockets that are let in are handed to it.
 */
import { createServer as createTcpServer, type Server as TcpServer, type AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import type { cluster } from "../../proto/messages.js";
import { type Clock, systemClock } from "../clock.js";
import type { HostPort } from "../settings.js";
import { checkBind, isLoopback, listen } from "./bind-address.js";
import { type Caller, CallerError, type CallerGuard, type Credentials } from "./caller.js";
import { limitCalls } from "./call-guard.js";
import { CALL_BUDGET, type CallBudget, CallLimits } from "./call-limits.js";
import { identitiesOf } from "./certificate-identity.js";
import type { ClusterReader } from "./cluster-reader.js";
import { CONNECTION_LIMITS, type ConnectionLimits, Connections } from "./connections.js";
import { listMessageOf } from "./contract.js";
import type { Workloads } from "../workloads.js";
import { GrpcWorkloads } from "./grpc-workloads.js";
import { type EventHandlers, GrpcEvents } from "./grpc-events.js";
import { GrpcPolicies, type PolicyService } from "./grpc-policies.js";
import { OpenCalls } from "./open-calls.js";
import { reflectionService } from "./reflection.js";
import { ClusterServiceDefinition, EventsDefinition, PoliciesDefinition, SERVICE_NAME } from "./service-definition.js";
import type { TlsFiles } from "./tls-files.js";

type Query = cluster.services.api.VmQueryRequest.$Properties;
type States = cluster.services.api.NodesStateResponse.$Properties;
type LogsRequest = cluster.services.api.VmLogsRequest.$Properties;
type LogChunk = cluster.services.api.LogChunk.$Properties;

export interface GrpcApiOptions {
  bind: HostPort;
  insecureBind: boolean;
  guard: CallerGuard;
  /** mTLS; plain text without. */
  tls?: TlsFiles | undefined;
  limits?: Partial<ConnectionLimits & CallBudget>;
  reader: ClusterReader;
  workloads: Workloads;
  /** Absent: no service Policies. */
  policies?: PolicyService;
  /** What Dispatch answers, by event. */
  events?: EventHandlers;
  logger: Logger;
  clock?: Clock;
  /** Method path and gRPC status code, once for each call. */
  onAnswer?: (path: string, code: number) => void;
}

/** A spawn with its policy and environment is a few kilobytes. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** What the last statuses need to leave the process. */
const FLUSH_MS = 250;
const SHUTTING_DOWN = { code: status.UNAVAILABLE, details: "the sidecar is shutting down" };

export class GrpcApi {
  readonly #calls: OpenCalls;
  readonly #server: Server;
  readonly #health = new HealthImplementation({ "": "NOT_SERVING", [SERVICE_NAME]: "NOT_SERVING" });
  readonly #closing = new AbortController();
  readonly #connections: Connections;
  #listener: TcpServer | undefined;

  constructor(private readonly options: GrpcApiOptions) {
    const { limits, clock = systemClock } = options;
    this.#calls = new OpenCalls(options.onAnswer);
    this.#connections = new Connections({ ...CONNECTION_LIMITS, ...limits });
    this.#server = new Server({
      interceptors: [this.#calls.interceptor, limitCalls(new CallLimits({ ...CALL_BUDGET, ...limits }, clock), this.#connections)],
      "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
      "grpc.max_concurrent_streams": 100,
      // Half-open connections of clients that vanished are found, and idle ones are not kept for ever.
      "grpc.keepalive_time_ms": 60_000,
      "grpc.keepalive_timeout_ms": 20_000,
      "grpc.max_connection_idle_ms": 600_000,
    });
    const workloads = new GrpcWorkloads(options.workloads, options.logger, this.#closing.signal);
    this.#server.addService(ClusterServiceDefinition, {
      Spawn: this.#guarded(workloads.spawn),
      Stop: this.#guarded(workloads.stop),
      List: (call: ServerUnaryCall<Query, States>, done: sendUnaryData<States>) => void this.#list(call, done),
      Logs: this.#guarded(workloads.logs),
      FollowLogs: (call: ServerWritableStream<LogsRequest, LogChunk>) => void this.#admitted(call).then((caller) => caller && workloads.follow(call, caller)),
    });
    if (options.policies !== undefined) {
      const policies = new GrpcPolicies(options.policies, options.logger, this.#closing.signal);
      this.#server.addService(PoliciesDefinition, {
        Decide: this.#guarded(policies.decide),
        PutPolicy: this.#guarded(policies.put),
        GetStored: policies.stored,
        FindServices: policies.services,
      });
    }
    this.#server.addService(EventsDefinition, { Dispatch: new GrpcEvents(options.events ?? new Map(), options.logger, this.#closing.signal).dispatch });
    this.#health.addToServer(this.#server);
    reflectionService().addToServer(this.#server);
  }

  /** Resolves with the actual address. Rejects with BindError. Health says NOT_SERVING until `setServing(true)`. */
  async start(): Promise<HostPort> {
    const { bind, insecureBind, logger, tls } = this.options;
    checkBind("grpc", bind, { insecureBind, mtls: tls !== undefined }, logger);
    const { injectConnection } = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
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
    for (const service of ["", SERVICE_NAME]) this.#health.setStatus(service, serving ? "SERVING" : "NOT_SERVING");
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
    this.#server.tryShutdown(() => grace.abort());
    this.#calls.end("streams", SHUTTING_DOWN);
    await clock.sleep(graceMs, grace.signal);
    this.#calls.end("all", SHUTTING_DOWN);
    this.#closing.abort();
    if (!grace.signal.aborted) await clock.sleep(FLUSH_MS, grace.signal);
    this.#server.forceShutdown();
    this.#connections.cutAll();
  }

  /** A call that only a known caller gets through to. */
  #guarded<Q, S>(handler: (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>, caller: Caller) => void) {
    return (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>) => void this.#admit(handler, call, done);
  }

  async #admit<Q, S>(handler: (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>, caller: Caller) => void, call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>): Promise<void> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    try {
      const caller = await this.options.guard.admit(credentialsOf(call), AbortSignal.any([gone.signal, this.#closing.signal]));
      handler(call, done, caller);
    } catch (error) {
      done({ code: error instanceof CallerError ? CALLER_STATUS[error.code] : status.INTERNAL, details: messageOfError(error) });
    }
  }

  /** The caller of a stream; undefined where the call was refused, and ended so. */
  async #admitted(call: ServerWritableStream<unknown, unknown>): Promise<Caller | undefined> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    try {
      return await this.options.guard.admit(credentialsOf(call), AbortSignal.any([gone.signal, this.#closing.signal]));
    } catch (error) {
      const code = error instanceof CallerError ? CALLER_STATUS[error.code] : status.INTERNAL;
      call.emit("error", { code, details: messageOfError(error) });
      return undefined;
    }
  }

  async #list(call: ServerUnaryCall<Query, States>, done: sendUnaryData<States>): Promise<void> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    try {
      const views = await this.options.reader.list({ signal: AbortSignal.any([gone.signal, this.#closing.signal]) });
      done(null, listMessageOf(views));
    } catch (error) {
      // Either way the call has ended already and nobody reads this status.
      if (gone.signal.aborted || this.#closing.signal.aborted) return done({ code: status.CANCELLED, details: "ended before the answer" });
      this.options.logger.error({ err: error, call: "List" }, "grpc call failed");
      done({ code: status.INTERNAL, details: messageOfError(error) });
    }
  }
}

const CALLER_STATUS = { unauthenticated: status.UNAUTHENTICATED, denied: status.PERMISSION_DENIED, unavailable: status.UNAVAILABLE } as const;

function credentialsOf(call: Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "metadata">): Credentials {
  const certificate = call.getAuthContext().sslPeerCertificate;
  const header = (name: string) => call.metadata.get(name)[0]?.toString();
  return {
    identities: certificate === undefined ? [] : identitiesOf(certificate),
    authorization: header("authorization"),
    nomadToken: header("x-nomad-token"),
  };
}

function messageOfError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
