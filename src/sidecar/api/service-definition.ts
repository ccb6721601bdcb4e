/**
 * ClusterService and Policies for @grpc/grpc-js, by hand on the static code of src/proto: @grpc/proto-loader brings its own
 * protobufjs 7, whose Root and Type objects must not meet our protobufjs 8. Server and client share it.
 */
import type { MethodDefinition } from "@grpc/grpc-js";
import { cluster, ibrl } from "../../proto/messages.js";

const api = cluster.services.api;
const own = ibrl.v1;

export const SERVICE_NAME = "cluster.services.api.ClusterService";
const POLICIES_NAME = "ibrl.v1.Policies";
export const NETWORK_NAME = "ibrl.v1.BeaconNetwork";

interface Codec<P, M extends P> {
  encode(message: P): { finish(): Uint8Array };
  decode(bytes: Uint8Array): M;
}

function unary<Q, QM extends Q, S, SM extends S>(name: string, request: Codec<Q, QM>, response: Codec<S, SM>, service = SERVICE_NAME): MethodDefinition<Q, S> {
  return {
    path: `/${service}/${name}`,
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

export const EventsDefinition = {
  Dispatch: unary("Dispatch", api.ClusterMessage, api.ClusterMessage, "ibrl.v1.Events"),
};

export const PoliciesDefinition = {
  Decide: unary("Decide", own.DecideRequest, own.StoredDocument, POLICIES_NAME),
  PutPolicy: unary("PutPolicy", own.PutPolicyRequest, own.StoredDocument, POLICIES_NAME),
  GetStored: unary("GetStored", own.StoredQuery, own.StoredDocuments, POLICIES_NAME),
  FindServices: unary("FindServices", own.ServicesQuery, own.ServicePlaces, POLICIES_NAME),
};

export const BeaconNetworkDefinition = {
  Attest: unary("Attest", own.NetworkStatement, own.NetworkAnswer, NETWORK_NAME),
  Heartbeat: { ...unary("Heartbeat", own.NetworkStatement, own.NetworkAnswer, NETWORK_NAME), requestStream: true, responseStream: true },
  ListNodes: unary("ListNodes", own.NetworkQuery, own.NetworkNodes, NETWORK_NAME),
  QueryPolicy: unary("QueryPolicy", own.NetworkPolicyQuery, own.StoredDocument, NETWORK_NAME),
  VerifyProof: unary("VerifyProof", own.NetworkProof, own.NetworkProofVerdict, NETWORK_NAME),
};
