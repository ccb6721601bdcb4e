/** Spawn, Stop, Logs and FollowLogs of ClusterService, for callers that the guard let through. */
import { once } from "node:events";
import { Metadata, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream, status, type StatusObject } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { cluster } from "../../proto/messages.js";
import type { WorkloadCall, Workloads } from "../workloads.js";
import type { Caller } from "./caller.js";
import { chunkMessage, idOf, isPlacementError, logQueryOf, logsMessage, nodeMessage, orderOf, PLACEMENT_STATUS, REFUSAL, spawnedMessage } from "./workload-messages.js";

interface Messages {
  VmSpawnRequest: cluster.services.api.VmSpawnRequest.$Properties;
  VmSpawnResponse: cluster.services.api.VmSpawnResponse.$Properties;
  VmStopRequest: cluster.services.api.VmStopRequest.$Properties;
  Node: cluster.services.api.Node.$Properties;
  VmLogsRequest: cluster.services.api.VmLogsRequest.$Properties;
  VmLogsResponse: cluster.services.api.VmLogsResponse.$Properties;
}
type Handler<Q extends keyof Messages, S extends keyof Messages> = (call: ServerUnaryCall<Messages[Q], Messages[S]>, done: sendUnaryData<Messages[S]>, caller: Caller) => void;
type Chunk = cluster.services.api.LogChunk.$Properties;
type Call = { getDeadline(): Date | number; once(event: "cancelled", listener: () => void): unknown };

export class GrpcWorkloads {
  constructor(
    private readonly workloads: Workloads,
    private readonly logger: Logger,
    private readonly closing: AbortSignal,
  ) {}

  readonly spawn: Handler<"VmSpawnRequest", "VmSpawnResponse"> = (call, done, caller) =>
    void this.#answer("Spawn", done, async () => spawnedMessage(await this.workloads.spawn(orderOf(call.request), this.#callOf(call, caller))));

  readonly stop: Handler<"VmStopRequest", "Node"> = (call, done, caller) =>
    void this.#answer("Stop", done, async () => nodeMessage(await this.workloads.stop(idOf(call.request.id), this.#callOf(call, caller))));

  readonly logs: Handler<"VmLogsRequest", "VmLogsResponse"> = (call, done, caller) =>
    void this.#answer("Logs", done, async () => logsMessage(await this.workloads.logs(logQueryOf(call.request), this.#callOf(call, caller))));

  readonly follow = (call: ServerWritableStream<Messages["VmLogsRequest"], Chunk>, caller: Caller): void => void this.#follow(call, caller);

  /** A reader that stops reading stops us, and with us Nomad: nothing is kept for it but what gRPC has in flight. */
  async #follow(call: ServerWritableStream<Messages["VmLogsRequest"], Chunk>, caller: Caller): Promise<void> {
    const { signal, ...rest } = this.#callOf(call, caller);
    try {
      for await (const part of this.workloads.follow(logQueryOf(call.request), { ...rest, signal })) {
        if (!call.write(chunkMessage(part))) await once(call, "drain", { signal });
      }
      call.end();
    } catch (error) {
      call.emit("error", this.#failure("FollowLogs", error, signal));
    }
  }

  async #answer<S>(name: string, done: sendUnaryData<S>, act: () => Promise<S>): Promise<void> {
    try {
      done(null, await act());
    } catch (error) {
      done(this.#failure(name, error));
    }
  }

  #callOf(call: Call, caller: Caller): WorkloadCall & { signal: AbortSignal } {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    const deadlineMs = Number(call.getDeadline());
    return {
      signal: AbortSignal.any([gone.signal, this.closing]),
      ...(Number.isFinite(deadlineMs) ? { deadlineMs } : {}),
      ...(caller.nomadToken === undefined ? {} : { nomadToken: caller.nomadToken }),
    };
  }

  #failure(name: string, error: unknown, signal?: AbortSignal): Partial<StatusObject> {
    if (isPlacementError(error)) {
      const metadata = new Metadata();
      metadata.set(REFUSAL, error.code);
      return { code: PLACEMENT_STATUS[error.code].grpc, details: error.message, metadata };
    }
    if (signal?.aborted === true) return { code: status.CANCELLED, details: "ended before the answer" };
    this.logger.error({ err: error, call: name }, "grpc call failed");
    return { code: status.INTERNAL, details: error instanceof Error ? error.message : String(error) };
  }
}
