/**
 * The gRPC side: ClusterService for the ancestor's clients and ours, health and reflection beside it. Plain text, and
 * therefore loopback only (bind-address.ts).
 */
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "pino";
import type { cluster } from "../../proto/messages.js";
import { type Clock, systemClock } from "../clock.js";
import type { HostPort } from "../settings.js";
import { bindErrorOf, checkBind, formatHostPort } from "./bind-address.js";
import { type Caller, CallerError, type CallerGuard, type Credentials } from "./caller.js";
import { identitiesOf } from "./certificate-identity.js";
import type { ClusterReader } from "./cluster-reader.js";
import { listMessageOf } from "./contract.js";
import type { Workloads } from "../workloads.js";
import { GrpcWorkloads } from "./grpc-workloads.js";
import { type EventHandlers, GrpcEvents } from "./grpc-events.js";
import { GrpcPolicies, type PolicyService } from "./grpc-policies.js";
import { OpenCalls } from "./open-calls.js";
import { reflectionService } from "./reflection.js";
import { ClusterServiceDefinition, EventsDefinition, PoliciesDefinition, SERVICE_NAME } from "./service-definition.js";

type Query = cluster.services.api.VmQueryRequest.$Properties;
type States = cluster.services.api.NodesStateResponse.$Properties;
type LogsRequest = cluster.services.api.VmLogsRequest.$Properties;
type LogChunk = cluster.services.api.LogChunk.$Properties;

export interface GrpcApiOptions {
  bind: HostPort;
  insecureBind: boolean;
  guard: CallerGuard;
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

  constructor(private readonly options: GrpcApiOptions) {
    this.#calls = new OpenCalls(options.onAnswer);
    this.#server = new Server({
      interceptors: [this.#calls.interceptor],
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
    const { bind, insecureBind, logger } = this.options;
    checkBind("grpc", bind, insecureBind, logger);
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(formatHostPort(bind), ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(bindErrorOf("grpc", bind, error));
      });
    });
    return { host: bind.host, port };
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
    this.#server.tryShutdown(() => grace.abort());
    this.#calls.end("streams", SHUTTING_DOWN);
    await clock.sleep(graceMs, grace.signal);
    this.#calls.end("all", SHUTTING_DOWN);
    this.#closing.abort();
    if (!grace.signal.aborted) await clock.sleep(FLUSH_MS, grace.signal);
    this.#server.forceShutdown();
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
