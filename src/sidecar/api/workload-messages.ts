/** Spawn, Stop and Logs between their messages and workloads.ts, and the one table from PlacementError to status. Pure. */
import { randomUUID } from "node:crypto";
import { type Metadata, status } from "@grpc/grpc-js";
import type { cluster } from "../../proto/messages.js";
import { invalid, PlacementError, type PlacementErrorCode } from "../placement-error.js";
import { type RawSpawn, readSpawn, type SpawnOrder } from "../spawn-order.js";
import type { LogPart, LogQuery, Spawned, WorkloadNode } from "../workloads.js";

type Api<K extends "VmSpawnResponse" | "VmLogsResponse" | "VmLogsRequest" | "Node" | "LogChunk"> = {
  VmSpawnResponse: cluster.services.api.VmSpawnResponse.$Properties;
  VmLogsResponse: cluster.services.api.VmLogsResponse.$Properties;
  VmLogsRequest: cluster.services.api.VmLogsRequest.$Properties;
  Node: cluster.services.api.Node.$Properties;
  LogChunk: cluster.services.api.LogChunk.$Properties;
}[K];

/** gRPC status and HTTP status. The ancestor's HTTP answers 400 to everything; a better word is used where there is one. */
export const PLACEMENT_STATUS: Readonly<Record<PlacementErrorCode, { grpc: status; http: number }>> = {
  invalid: { grpc: status.INVALID_ARGUMENT, http: 400 },
  "not-found": { grpc: status.NOT_FOUND, http: 404 },
  "not-a-placer": { grpc: status.FAILED_PRECONDITION, http: 409 },
  "no-match": { grpc: status.FAILED_PRECONDITION, http: 409 },
  "nobody-runs-it": { grpc: status.RESOURCE_EXHAUSTED, http: 409 },
  conflict: { grpc: status.ALREADY_EXISTS, http: 409 },
  refused: { grpc: status.INVALID_ARGUMENT, http: 400 },
  denied: { grpc: status.PERMISSION_DENIED, http: 403 },
  unavailable: { grpc: status.UNAVAILABLE, http: 503 },
};

/** Trailer with the PlacementError's code, which tells a sidecar's own word from a failure on the way to it. */
export const REFUSAL = "ibrl-refusal";

/** Throws PlacementError `invalid`. */
export function orderOf(raw: RawSpawn): SpawnOrder {
  return readSpawn(raw, () => randomUUID());
}

export function spawnedMessage({ id, requestId, url, node, allocationId, status: state, decision, plan, passedOver }: Spawned): Api<"VmSpawnResponse"> {
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  return {
    id, url, node, request_id: requestId, status: state, passed_over: [...passedOver],
    ...(allocationId === undefined ? {} : { allocation_id: allocationId }),
    ...(decision === undefined ? {} : { decision: json(decision) }),
    ...(plan === undefined ? {} : { plan: json(plan) }),
  };
}

export function nodeMessage({ id, address, name }: WorkloadNode): Api<"Node"> {
  return { id, ip: address, name };
}

/** Throws PlacementError `invalid`. */
export function idOf(id: unknown): string {
  if (typeof id !== "string" || !/^[\x21-\x7e]{1,256}$/.test(id)) throw invalid("id", "is missing, or is no ID of 1 to 256 characters of ASCII");
  return id;
}

/** Throws PlacementError `invalid`. */
export function logQueryOf({ id, task, stream }: { [K in keyof Api<"VmLogsRequest">]?: unknown }): LogQuery {
  const query: LogQuery = { id: idOf(id) };
  if (typeof task === "string" && task !== "") query.task = task;
  if (stream === "stdout" || stream === "stderr") query.stream = stream;
  else if (stream !== undefined && stream !== null && stream !== "") throw invalid("stream", "is stdout, stderr, or empty for both");
  return query;
}

export function logsMessage(parts: readonly LogPart[]): Api<"VmLogsResponse"> {
  const textOf = (stream: LogPart["stream"]) => parts.filter((part) => part.stream === stream).map(({ bytes }) => Buffer.from(bytes).toString("utf8")).join("");
  const [stdout, stderr] = [textOf("stdout"), textOf("stderr")];
  return { logs: stdout + stderr, stdout, stderr };
}

export function chunkMessage({ allocationId, task, stream, bytes }: LogPart): Api<"LogChunk"> {
  return { allocation_id: allocationId, task, stream, data: bytes };
}

/** Undefined where the failure is none of Spawn, Stop and Logs. */
export function refusalOf({ details, metadata }: { details: string; metadata: Metadata }): PlacementError | undefined {
  const code = metadata.get(REFUSAL)[0];
  return typeof code === "string" && code in PLACEMENT_STATUS ? new PlacementError(code as PlacementErrorCode, details) : undefined;
}

export function isPlacementError(error: unknown): error is PlacementError {
  return error instanceof PlacementError;
}
