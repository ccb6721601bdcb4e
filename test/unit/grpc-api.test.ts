/** The gRPC side over real sockets: an ancestor's client, our own client, health, reflection, shutdown. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { service as healthService } from "grpc-health-check";
import { pino } from "pino";
import descriptor, { type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { ApiError } from "../../src/sidecar/api/api-error.js";
import { listNodes } from "../../src/sidecar/api/client.js";
import { sendGrpcLogTo } from "../../src/sidecar/api/grpc-log.js";
import { GrpcApi, type GrpcApiOptions } from "../../src/sidecar/api/grpc-server.js";
import { BEARER, NOMAD_TOKEN, someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { NOW_MS, verifiedBeacon, verifiedState, workload } from "../harness/records.js";

/** What an ancestor's client was built from, as far as List and its neighbours need it: no field of ours. */
const ANCESTOR_PROTO = `syntax = "proto3"; package cluster.services.api;
message BeaconMetadata { string beacon_node_id = 1; bytes node_signature = 2; int64 timestamp = 3; string reputation_score = 4;
  repeated string node_capabilities = 5; double latency_ms = 6; double jitter_ms = 7; double packet_loss = 8; uint32 queue_depth = 9; double price_per_gb = 10; }
message PolicyContext { string policy_id = 1; repeated string tags = 2; string enforcement_level = 3; }
message WorkloadProof { string proof_hash = 1; bytes proof_signature = 2; map<string, string> metrics = 3; int64 proof_timestamp = 4; string hypervisor_type = 5; }
message Node { string id = 1; string ip = 2; }
message VmSpawnRequest { uint32 cores = 1; uint32 memory = 2; string image_ref = 3; map<uint32, uint32> ports = 4; bool dry_run = 5; repeated string env = 6; }
message VmStopRequest { string id = 1; }
message VmLogsRequest { string id = 1; }
message WorkloadState { string id = 1; VmSpawnRequest source_request = 2; WorkloadProof proof = 3; }
message NodeStateResponse { Node node = 1; repeated WorkloadState workloads = 2; BeaconMetadata beacon = 3; PolicyContext policy = 4; string state_signature = 5; }
message NodesStateResponse { repeated NodeStateResponse states = 1; }
message VmSpawnResponse { string id = 1; string url = 2; }
message VmQueryRequest {}
message VmLogsResponse { string logs = 1; }
service ClusterService { rpc Spawn(VmSpawnRequest) returns (VmSpawnResponse); rpc Stop(VmStopRequest) returns (Node);
  rpc List(VmQueryRequest) returns (NodesStateResponse); rpc Logs(VmLogsRequest) returns (VmLogsResponse); }`;

type Call = (request: object, metadata: grpc.Metadata, done: (error: grpc.ServiceError | null, answer: unknown) => void) => void;
type Stream = (request?: object) => grpc.ClientDuplexStream<object, Record<string, unknown>>;
type Loaded = grpc.Client & Record<string, Call & Stream>;

const silent = pino({ level: "silent" });
const place = { id: "5f3c2d1e-0a9b-4c8d-8e7f-112233445566", address: "192.0.2.17", datacenter: "dc1" };
const measured: NodeView = {
  ...place, name: "node-a", trust: "pinned", alive: true,
  beacon: verifiedBeacon({ node: "node-a" }), state: verifiedState({ node: "node-a", workloads: [workload(1)] }),
};
const partly: NodeView = { ...measured, name: "node-b", beacon: verifiedBeacon({ node: "node-b", latency: undefined } as object), state: verifiedState({ node: "node-b" }) };
const bare: NodeView = { ...place, name: "node-c", trust: "no-sidecar" };

sendGrpcLogTo(silent);

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function serve(options: Partial<GrpcApiOptions> = {}) {
  const api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), logger: silent, reader: { list: async () => [measured, partly, bare] }, ...options });
  const { port } = await api.start();
  ending.push(() => api.close(0));
  return { api, address: `127.0.0.1:${String(port)}` };
}

function clientOf(definition: unknown, address: string): Loaded {
  const made = new (grpc.makeGenericClientConstructor(definition as grpc.ServiceDefinition, "Loaded"))(address, grpc.credentials.createInsecure());
  ending.push(() => made.close());
  return made as unknown as Loaded;
}

function ancestorClient(address: string): Loaded {
  const folder = mkdtempSync(join(tmpdir(), "ibrl-ancestor-"));
  try {
    writeFileSync(join(folder, "ancestor.proto"), ANCESTOR_PROTO);
    const loaded = loadSync(join(folder, "ancestor.proto"), { keepCase: true, defaults: true, longs: Number });
    return clientOf(loaded["cluster.services.api.ClusterService"], address);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const ask = (client: Loaded, method: string, request: object = {}, headers: Record<string, string> = {}) =>
  new Promise<unknown>((resolve, reject) => {
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    client[method]?.(request, metadata, (error: grpc.ServiceError | null, answer: unknown) => (error === null ? resolve(answer) : reject(error)));
  });

/** Resolves with the status that ends a stream, and hands each message on. */
const statusOf = (stream: grpc.ClientDuplexStream<object, Record<string, unknown>>, onMessage: (m: Record<string, unknown>) => void = () => {}) => {
  stream.on("data", onMessage).on("error", () => {});
  return new Promise<grpc.StatusObject>((resolve) => stream.on("status", resolve));
};

/** A reader that is asked and answers only when told to. */
function heldReader() {
  const held = { asked: Promise.resolve(), finish: () => {}, aborted: Promise.resolve(), list: async (): Promise<NodeView[]> => [] } as {
    asked: Promise<void>; aborted: Promise<void>; finish: () => void; list: GrpcApiOptions["reader"]["list"];
  };
  held.asked = new Promise((asked) => {
    held.aborted = new Promise((aborted) => {
      held.list = (options) =>
        new Promise((resolve) => {
          held.finish = () => resolve([bare]);
          options?.signal?.addEventListener("abort", () => aborted());
          asked();
        });
    });
  });
  return held;
}

describe("an ancestor's client", () => {
  test("lists the nodes and reads the old meaning, unknown as 0, a node without a beacon as one", async () => {
    const { address } = await serve();
    const { states } = (await ask(ancestorClient(address), "List")) as { states: Record<string, unknown>[] };
    expect(states).toHaveLength(3);
    expect(states[0]).toMatchObject({
      node: { id: place.id, ip: place.address },
      workloads: [{ id: workload(1).id }],
      beacon: { latency_ms: 12.35, jitter_ms: 1, packet_loss: 0.12, queue_depth: 3, price_per_gb: 0.01, timestamp: NOW_MS / 1000, node_capabilities: ["container", "vm"] },
      state_signature: Buffer.from(measured.state?.signature ?? []).toString("base64"),
    });
    expect((states[0]?.["beacon"] as { node_signature: Buffer } | undefined)?.node_signature).toEqual(Buffer.from(measured.beacon?.signature ?? []));
    expect(states[1]?.["beacon"]).toMatchObject({ latency_ms: 0, jitter_ms: 1, reputation_score: "" });
    expect(states[2]).toMatchObject({ node: { ip: place.address }, beacon: null, workloads: [] });
    expect(Object.keys(states[0] ?? {}).sort()).toEqual(["beacon", "node", "policy", "state_signature", "workloads"]);
  });

  const ORDER = { image_ref: "nginx", cores: 1, memory: 64 };

  test.each([["Spawn", ORDER], ["Stop", { id: "x" }], ["Logs", { id: "x" }]])("%s of a sidecar that does not place is FAILED_PRECONDITION with a sentence", async (method, request) => {
    const { address } = await serve();
    await expect(ask(ancestorClient(address), method, request, BEARER)).rejects.toMatchObject({ code: grpc.status.FAILED_PRECONDITION, details: expect.stringMatching(/--placer/) as string });
  });

  test.each(["Spawn", "Stop", "Logs"])("%s asks who calls, on loopback too", async (method) => {
    const { address } = await serve();
    const client = ancestorClient(address);
    const withHeaders = (headers: Record<string, string>) => ask(client, method, method === "Spawn" ? ORDER : { id: "x" }, headers);
    await expect(withHeaders({})).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED, details: expect.stringContaining("X-Nomad-Token") as string });
    await expect(withHeaders({ authorization: "Bearer 00" })).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
    await expect(withHeaders({ "x-nomad-token": "8176afd3-772d-0b71-8f85-7fa5d903e9d4" })).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
    await expect(withHeaders({ "x-nomad-token": NOMAD_TOKEN })).rejects.toMatchObject({ code: grpc.status.FAILED_PRECONDITION });
    await expect(withHeaders(BEARER)).rejects.toMatchObject({ code: grpc.status.FAILED_PRECONDITION });
  });

  test("a request over the cap is RESOURCE_EXHAUSTED, and the server lives on", async () => {
    const { address } = await serve();
    const client = ancestorClient(address);
    await expect(ask(client, "Spawn", { image_ref: "x".repeat(1_100_000) })).rejects.toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    expect(await ask(client, "List")).toBeDefined();
  });
});

describe("our client", () => {
  const at = { keys: new KeyAdmission(), nowMs: () => NOW_MS };

  test("verifies what it lists", async () => {
    const { address } = await serve();
    const views = await listNodes({ address, ...at });
    expect(views.map((view) => [view.name, view.trust, view.alive])).toEqual([["node-a", "pinned", true], ["node-b", "pinned", true], ["node-c", "no-sidecar", undefined]]);
    expect(views[0]?.beacon?.record).toEqual(measured.beacon?.record);
    expect(views[1]?.beacon?.record).not.toHaveProperty("latency");
  });

  test("does not believe a server that lies", async () => {
    const lie = { ...measured, beacon: Object.assign(Object.create(measured.beacon ?? null) as object, { record: { ...measured.beacon?.record, latency: { us: 1, source: "measured" } }, sealed: measured.beacon?.sealed }) } as NodeView;
    const { address } = await serve({ reader: { list: async () => [lie] } });
    expect(await listNodes({ address, ...at })).toMatchObject([{ trust: "unverified", detail: expect.stringMatching(/latency_ms/) as string }]);
  });

  test("takes 10,000 nodes with ten workloads each", async () => {
    const crowd = { ...measured, state: verifiedState({ node: "node-a", workloads: Array.from({ length: 10 }, (_, i) => workload(i)) }) };
    const { address } = await serve({ reader: { list: async () => Array.from({ length: 10_000 }, () => crowd) } });
    const views = await listNodes({ address, ...at, timeoutMs: 60_000 });
    expect(views.filter((view) => view.trust === "pinned" && view.state?.record.workloads?.length === 10)).toHaveLength(10_000);
  }, 60_000);

  test("nobody there: unreachable, with the address and what to do", async () => {
    const { api, address } = await serve();
    await api.close(0);
    const error = await listNodes({ address, ...at }).catch((e: unknown) => e as ApiError);
    expect(error).toMatchObject({ name: "ApiError", code: "unreachable", address });
    expect((error as ApiError).message).toContain(address);
    expect((error as ApiError).message).toMatch(/hypercore sidecar/);
  });

  test("a server that is no gRPC is unreachable too", async () => {
    const other = createServer((socket) => void socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    ending.push(() => other.close());
    const address = `127.0.0.1:${String((other.address() as { port: number }).port)}`;
    await expect(listNodes({ address, ...at })).rejects.toMatchObject({ name: "ApiError", address });
  });

  test("the deadline ends the call, and the server's reader hears of it", async () => {
    const held = heldReader();
    const { address } = await serve({ reader: held });
    await expect(listNodes({ address, ...at, timeoutMs: 100 })).rejects.toMatchObject({ code: "deadline" });
    await held.aborted;
  });

  test("the signal ends the call, before it and within it", async () => {
    const held = heldReader();
    const { address } = await serve({ reader: held });
    const stop = new AbortController();
    const listing = listNodes({ address, ...at, signal: stop.signal });
    await held.asked;
    stop.abort();
    await expect(listing).rejects.toMatchObject({ code: "cancelled" });
    await held.aborted;
    await expect(listNodes({ address, ...at, signal: stop.signal })).rejects.toMatchObject({ code: "cancelled" });
  });

  test("a failure inside is the server's, in its words", async () => {
    const { address } = await serve({ reader: { list: async () => Promise.reject(new Error("no registry")) } });
    await expect(listNodes({ address, ...at })).rejects.toMatchObject({ code: "server", message: expect.stringMatching(/no registry/) as string });
  });

  test("a server without the call is unimplemented", async () => {
    const server = new grpc.Server();
    const port = await new Promise<number>((resolve) => server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_e, p) => resolve(p)));
    ending.push(() => server.forceShutdown());
    await expect(listNodes({ address: `127.0.0.1:${String(port)}`, ...at })).rejects.toMatchObject({ code: "unimplemented" });
  });
});

describe("health and reflection", () => {
  const health = (address: string) => clientOf(healthService, address);

  test("not serving until told, and watchers hear of it", async () => {
    const { api, address } = await serve();
    expect(await ask(health(address), "check", { service: "" })).toEqual({ status: "NOT_SERVING" });
    const heard: unknown[] = [];
    const both = new Promise<void>((resolve) => {
      void statusOf((health(address)["watch"] as Stream)({ service: "cluster.services.api.ClusterService" }), (m) => {
        heard.push(m["status"]);
        if (heard.length === 1) api.setServing(true);
        if (heard.length === 2) resolve();
      });
    });
    await both;
    expect(heard).toEqual(["NOT_SERVING", "SERVING"]);
    await expect(ask(health(address), "check", { service: "nothing" })).rejects.toMatchObject({ code: grpc.status.NOT_FOUND });
  });

  test("reflection lists the services and describes our optional fields", async () => {
    const { address } = await serve();
    const proto = join(import.meta.dirname, "../../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto");
    const client = clientOf(loadSync(proto, { keepCase: true })["grpc.reflection.v1.ServerReflection"], address);
    const stream = (client["ServerReflectionInfo"] as Stream)();
    const answers: Record<string, unknown>[] = [];
    const done = statusOf(stream, (m) => answers.push(m));
    stream.write({ list_services: "*" });
    stream.write({ file_containing_symbol: "cluster.services.api.BeaconMetadata" });
    stream.end();
    expect((await done).code).toBe(grpc.status.OK);
    const listed = answers[0]?.["list_services_response"] as { service: { name: string }[] } | undefined;
    expect(listed?.service.map((s) => s.name).sort()).toEqual(["cluster.services.api.ClusterService", "grpc.health.v1.Health"]);
    const files = (answers[1]?.["file_descriptor_response"] as { file_descriptor_proto: Buffer[] } | undefined)?.file_descriptor_proto ?? [];
    // What grpcurl 1.9 refuses a file without: its imports, and the names of map entries.
    const [contract, imported] = files.map((file) => descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(file), { enums: String }) as IFileDescriptorProto);
    expect([contract?.name, contract?.dependency, imported?.name]).toEqual(["cluster_services_api.proto", ["google_protobuf.proto"], "google_protobuf.proto"]);
    const message = (name: string) => contract?.messageType?.find((m) => m.name === name);
    expect(message("VmSpawnRequest")).toMatchObject({ nestedType: [{ name: "PortsEntry" }], field: expect.arrayContaining([expect.objectContaining({ name: "ports", typeName: "PortsEntry" })]) as unknown });
    expect(message("BeaconMetadata")?.field?.find((f) => f.name === "latency_ms")).toMatchObject({ number: 6, proto3Optional: true });
    expect(message("NodeStateResponse")?.field?.find((f) => f.name === "sealed_beacon")).toMatchObject({ number: 20 });
  });
});

describe("shutdown", () => {
  test("streams end UNAVAILABLE at once, a call that does not finish in its grace too, and its reader hears of it", async () => {
    const held = heldReader();
    const { api, address } = await serve({ reader: held });
    let watching: () => void = () => {};
    const begun = new Promise<void>((resolve) => (watching = resolve));
    const stream = statusOf((clientOf(healthService, address)["watch"] as Stream)({ service: "" }), () => watching());
    const listing = listNodes({ address }).catch((error: unknown) => error);
    await Promise.all([held.asked, begun]);
    await api.close(1);
    expect(await stream).toMatchObject({ code: grpc.status.UNAVAILABLE, details: "the sidecar is shutting down" });
    expect(await listing).toMatchObject({ code: "unreachable", message: expect.stringMatching(/shutting down/) as string });
    await held.aborted;
  });

  test("a call that finishes within its grace is answered", async () => {
    const held = heldReader();
    const { api, address } = await serve({ reader: held });
    const listing = listNodes({ address });
    await held.asked;
    const closed = api.close(60_000);
    held.finish();
    expect(await listing).toMatchObject([{ name: "node-c" }]);
    await closed;
  });

  test("close without a start, and twice, resolves", async () => {
    const api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), logger: silent, reader: { list: async () => [] } });
    await api.close(0);
    await api.close(0);
  });
});

describe("starting", () => {
  test("a taken port is named as such", async () => {
    const { address } = await serve();
    await expect(serve({ bind: { host: "127.0.0.1", port: Number(address.split(":")[1]) } })).rejects.toMatchObject({ name: "BindError", code: "in-use" });
  });

  test("an address beyond loopback is refused before anything listens", async () => {
    await expect(serve({ bind: { host: "0.0.0.0", port: 0 } })).rejects.toMatchObject({ code: "not-loopback" });
  });

  test("each call is told once, with its code", async () => {
    const told: [string, number][] = [];
    const { address } = await serve({ onAnswer: (path, code) => told.push([path, code]) });
    await listNodes({ address });
    await ask(ancestorClient(address), "Stop").catch(() => {});
    expect(told).toEqual([["/cluster.services.api.ClusterService/List", grpc.status.OK], ["/cluster.services.api.ClusterService/Stop", grpc.status.UNAUTHENTICATED]]);
  });
});
