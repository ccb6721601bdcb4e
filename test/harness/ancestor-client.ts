/** A gRPC client as the ancestor's users have it: made from a proto that knows the old fields alone. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, credentials, makeGenericClientConstructor, type ServiceDefinition, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** The part of the contract that List needs; from the field table of the ancestor's messages. */
const PROTO = `syntax = "proto3"; package cluster.services.api;
message BeaconMetadata { string beacon_node_id = 1; bytes node_signature = 2; int64 timestamp = 3; string reputation_score = 4;
  repeated string node_capabilities = 5; double latency_ms = 6; double jitter_ms = 7; double packet_loss = 8; uint32 queue_depth = 9; double price_per_gb = 10; }
message Node { string id = 1; string ip = 2; }
message WorkloadState { string id = 1; }
message NodeStateResponse { Node node = 1; repeated WorkloadState workloads = 2; BeaconMetadata beacon = 3; string state_signature = 5; }
message NodesStateResponse { repeated NodeStateResponse states = 1; }
message VmQueryRequest {}
service ClusterService { rpc List(VmQueryRequest) returns (NodesStateResponse); }`;

export interface AncestorState {
  node: { id: string; ip: string };
  workloads: { id: string }[];
  beacon: {
    beacon_node_id: string; node_signature: Buffer; timestamp: number; reputation_score: string; node_capabilities: string[];
    latency_ms: number; jitter_ms: number; packet_loss: number; queue_depth: number; price_per_gb: number;
  } | null;
  state_signature: string;
}

/** What the ancestor's `List` reads at HOST:PORT; absent scalars come as its zero values. Rejects with ServiceError. */
export async function ancestorList(address: string): Promise<AncestorState[]> {
  const client = clientAt(address);
  try {
    return await new Promise((resolve, reject) => {
      client.List({}, (error, answer) => (error === null ? resolve(answer.states) : reject(error)));
    });
  } finally {
    client.close();
  }
}

type ListClient = Client & { List(request: object, done: (error: ServiceError | null, answer: { states: AncestorState[] }) => void): void };

function clientAt(address: string): ListClient {
  const folder = mkdtempSync(join(tmpdir(), "ibrl-ancestor-"));
  try {
    writeFileSync(join(folder, "ancestor.proto"), PROTO);
    const loaded = loadSync(join(folder, "ancestor.proto"), { keepCase: true, defaults: true, longs: Number });
    const Made = makeGenericClientConstructor(loaded["cluster.services.api.ClusterService"] as ServiceDefinition, "ClusterService");
    return new Made(address, credentials.createInsecure()) as unknown as ListClient;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
