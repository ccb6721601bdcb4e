/**
 * ClusterService for @grpc/grpc-js, by hand on the static code of src/proto: @grpc/proto-loader brings its own
 * protobufjs 7, whose Root and Type objects must not meet our protobufjs 8. Server and client share it.
 */
import type { MethodDefinition } from "@grpc/grpc-js";
import { cluster } from "../../proto/messages.js";

const api = cluster.services.api;

export const SERVICE_NAME = "cluster.services.api.ClusterService";

interface Codec<P, M extends P> {
  encode(message: P): { finish(): Uint8Array };
  decode(bytes: Uint8Array): M;
}

function unary<Q, QM extends Q, S, SM extends S>(name: string, request: Codec<Q, QM>, response: Codec<S, SM>): MethodDefinition<Q, S> {
  return {
    path: `/${SERVICE_NAME}/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => bufferOf(request.encode(message).finish()),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => bufferOf(response.encode(message).finish()),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

/** The same memory: a listing of 10,000 nodes is tens of megabytes. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const ClusterServiceDefinition = {
  Spawn: unary("Spawn", api.VmSpawnRequest, api.VmSpawnResponse),
  Stop: unary("Stop", api.VmStopRequest, api.Node),
  List: unary("List", api.VmQueryRequest, api.NodesStateResponse),
  Logs: unary("Logs", api.VmLogsRequest, api.VmLogsResponse),
  FollowLogs: { ...unary("FollowLogs", api.VmLogsRequest, api.LogChunk), responseStream: true },
};
