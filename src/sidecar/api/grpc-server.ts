/** The sidecar's gRPC: ClusterService for the ancestor's clients and ours, our own services and reflection beside it, on a GrpcPort. */
import { type sendUnaryData, type ServerUnaryCall, type ServerWritableStream, status } from "@grpc/grpc-js";
import type { cluster } from "../../proto/messages.js";
import type { HostPort } from "../settings.js";
import { type Caller, CallerError, type CallerGuard, type Credentials } from "./caller.js";
import { identitiesOf } from "./certificate-identity.js";
import type { ClusterReader } from "./cluster-reader.js";
import { listMessageOf } from "./contract.js";
import type { Workloads } from "../workloads.js";
import { GrpcWorkloads } from "./grpc-workloads.js";
import { type EventHandlers, GrpcEvents } from "./grpc-events.js";
import { GrpcPolicies, type PolicyService } from "./grpc-policies.js";
import { GrpcPort, type GrpcPortOptions } from "./grpc-port.js";
import { reflectionService } from "./reflection.js";
import { ClusterServiceDefinition, EventsDefinition, PoliciesDefinition, SERVICE_NAME } from "./service-definition.js";

type Query = cluster.services.api.VmQueryRequest.$Properties;
type States = cluster.services.api.NodesStateResponse.$Properties;
type LogsRequest = cluster.services.api.VmLogsRequest.$Properties;
type LogChunk = cluster.services.api.LogChunk.$Properties;

export interface GrpcApiOptions extends GrpcPortOptions {
  guard: CallerGuard;
  reader: ClusterReader;
  workloads: Workloads;
  /** Absent: no service Policies. */
  policies?: PolicyService;
  /** What Dispatch answers, by event. */
  events?: EventHandlers;
}

export class GrpcApi {
  readonly #port: GrpcPort;

  constructor(private readonly options: GrpcApiOptions) {
    this.#port = new GrpcPort(options, SERVICE_NAME);
    const { server, closing } = this.#port;
    const workloads = new GrpcWorkloads(options.workloads, options.logger, closing);
    server.addService(ClusterServiceDefinition, {
      Spawn: this.#guarded(workloads.spawn),
      Stop: this.#guarded(workloads.stop),
      List: (call: ServerUnaryCall<Query, States>, done: sendUnaryData<States>) => void this.#list(call, done),
      Logs: this.#guarded(workloads.logs),
      FollowLogs: (call: ServerWritableStream<LogsRequest, LogChunk>) => void this.#admitted(call).then((caller) => caller && workloads.follow(call, caller)),
    });
    if (options.policies !== undefined) {
      const policies = new GrpcPolicies(options.policies, options.logger, closing);
      server.addService(PoliciesDefinition, {
        Decide: this.#guarded(policies.decide),
        PutPolicy: this.#guarded(policies.put),
        GetStored: policies.stored,
        FindServices: policies.services,
      });
    }
    server.addService(EventsDefinition, { Dispatch: new GrpcEvents(options.events ?? new Map(), options.logger, closing).dispatch });
    reflectionService().addToServer(server);
  }

  /** As GrpcPort. */
  start(): Promise<HostPort> {
    return this.#port.start();
  }

  portAt(address: string): number {
    return this.#port.portAt(address);
  }

  setServing(serving: boolean): void {
    this.#port.setServing(serving);
  }

  close(graceMs: number): Promise<void> {
    return this.#port.close(graceMs);
  }

  /** A call that only a known caller gets through to. */
  #guarded<Q, S>(handler: (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>, caller: Caller) => void) {
    return (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>) => void this.#admit(handler, call, done);
  }

  async #admit<Q, S>(handler: (call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>, caller: Caller) => void, call: ServerUnaryCall<Q, S>, done: sendUnaryData<S>): Promise<void> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    try {
      const caller = await this.options.guard.admit(credentialsOf(call), AbortSignal.any([gone.signal, this.#port.closing]));
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
      return await this.options.guard.admit(credentialsOf(call), AbortSignal.any([gone.signal, this.#port.closing]));
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
      const views = await this.options.reader.list({ signal: AbortSignal.any([gone.signal, this.#port.closing]) });
      done(null, listMessageOf(views));
    } catch (error) {
      // Either way the call has ended already and nobody reads this status.
      if (gone.signal.aborted || this.#port.closing.aborted) return done({ code: status.CANCELLED, details: "ended before the answer" });
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
