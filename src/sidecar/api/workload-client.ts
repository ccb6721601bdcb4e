/** Spawn, Stop and Logs of a sidecar, for the command line. */
import { Client, type ClientReadableStream, Metadata, type MethodDefinition, type ServiceError, status } from "@grpc/grpc-js";
import type { cluster } from "../../proto/messages.js";
import { apiErrorOf } from "./api-error.js";
import { channelOptions, type ClientTls, credentialsFor } from "./client-tls.js";
import { ClusterServiceDefinition } from "./service-definition.js";
import { refusalOf } from "./workload-messages.js";

type Api = typeof ClusterServiceDefinition;
export type SpawnAnswer = cluster.services.api.VmSpawnResponse.$Properties;
export type SpawnRequest = cluster.services.api.VmSpawnRequest.$Properties;
export type NodeAnswer = cluster.services.api.Node.$Properties;
export type LogsRequest = cluster.services.api.VmLogsRequest.$Properties;
export type LogsAnswer = cluster.services.api.VmLogsResponse.$Properties;
export type LogChunk = cluster.services.api.LogChunk.$Properties;

export interface ClientCredentials {
  /** The sidecar's own bearer token, and the caller's Nomad token. */
  apiToken?: string;
  nomadToken?: string;
  /** Plain text without. */
  tls?: ClientTls | undefined;
}

/** Every call rejects with PlacementError, the sidecar's own word, or with ApiError. */
export class WorkloadClient {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(
    private readonly address: string,
    { apiToken, nomadToken, tls }: ClientCredentials,
  ) {
    this.#client = new Client(address, credentialsFor(address, tls), channelOptions(address, tls));
    if (apiToken !== undefined) this.#metadata.set("authorization", `Bearer ${apiToken}`);
    if (nomadToken !== undefined) this.#metadata.set("x-nomad-token", nomadToken);
  }

  spawn(request: SpawnRequest, timeoutMs: number): Promise<SpawnAnswer> {
    return this.#unary<SpawnRequest, SpawnAnswer>(ClusterServiceDefinition.Spawn, request, timeoutMs);
  }

  stop(id: string, timeoutMs: number): Promise<NodeAnswer> {
    return this.#unary<cluster.services.api.VmStopRequest.$Properties, NodeAnswer>(ClusterServiceDefinition.Stop, { id }, timeoutMs);
  }

  logs(request: LogsRequest, timeoutMs: number): Promise<LogsAnswer> {
    return this.#unary<LogsRequest, LogsAnswer>(ClusterServiceDefinition.Logs, request, timeoutMs);
  }

  /** Ends where the workload does. */
  async *follow(request: LogsRequest, signal: AbortSignal): AsyncGenerator<LogChunk> {
    const { path, requestSerialize, responseDeserialize } = ClusterServiceDefinition.FollowLogs satisfies Api["FollowLogs"];
    const stream: ClientReadableStream<LogChunk> = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, this.#metadata);
    const cancel = (): void => stream.cancel();
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const chunk of stream as AsyncIterable<LogChunk>) yield chunk;
    } catch (error) {
      const failure = error as ServiceError;
      if (!(signal.aborted && failure.code === status.CANCELLED)) throw this.#failure(failure);
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #failure(error: ServiceError): Error {
    return refusalOf(error) ?? apiErrorOf(this.address, error, error);
  }

  #unary<Q, S>({ path, requestSerialize, responseDeserialize }: MethodDefinition<Q, S>, request: Q, timeoutMs: number): Promise<S> {
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, answer?: S): void => {
        if (error === null) resolve(answer as S);
        else reject(this.#failure(error));
      };
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, this.#metadata, { deadline: Date.now() + timeoutMs }, done);
    });
  }
}
