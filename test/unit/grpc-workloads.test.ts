/** Spawn, Stop, Logs and FollowLogs over real gRPC: what reaches the placement, what comes back, and a reader that stops reading. */
import { status } from "@grpc/grpc-js";
import { pino } from "pino";
import { formatHostPort } from "../../src/sidecar/api/bind-address.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { PLACEMENT_STATUS } from "../../src/sidecar/api/workload-messages.js";
import { PlacementError, type PlacementErrorCode } from "../../src/sidecar/placement-error.js";
import type { SpawnOrder } from "../../src/sidecar/spawn-order.js";
import type { LogPart, WorkloadCall, Workloads } from "../../src/sidecar/workloads.js";
import { eventually } from "../harness/cluster.js";
import { API_TOKEN, NOMAD_TOKEN, someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function serving(workloads: Partial<Workloads>, credentials: ConstructorParameters<typeof WorkloadClient>[1] = { apiToken: API_TOKEN }): Promise<WorkloadClient> {
  const api = new GrpcApi({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(workloads), logger: pino({ level: "silent" }), reader: { list: async () => [] } });
  const client = new WorkloadClient(formatHostPort(await api.start()), credentials);
  ending.push(() => api.close(0), () => client.close());
  return client;
}

test("a spawn arrives whole, with its deadline and the caller's own Nomad token, and its answer comes back", async () => {
  const seen: [SpawnOrder, WorkloadCall][] = [];
  const client = await serving({
    spawn: async (order, call) => {
      seen.push([order, call]);
      return { id: "ibrl-1", requestId: order.requestId, url: "http://h:1", node: "node-1", allocationId: "a", status: "running", decision: { d: 1 }, passedOver: [{ node: "node-2", reason: "full" }] };
    },
  }, { nomadToken: NOMAD_TOKEN });
  const answer = await client.spawn({ image_ref: "nginx", cores: 1, memory: 64, ports: { 8080: 80 }, env: ["A=b"], request_id: "r" }, 5_000);
  expect(answer).toMatchObject({ id: "ibrl-1", request_id: "r", url: "http://h:1", node: "node-1", allocation_id: "a", status: "running", passed_over: [{ node: "node-2", reason: "full" }] });
  const [order, call] = seen[0] ?? [];
  expect(order).toMatchObject({ imageRef: "nginx", ports: [{ host: 8080, workload: 80 }], env: ["A=b"], requestId: "r", dryRun: false });
  expect(call).toMatchObject({ nomadToken: NOMAD_TOKEN, deadlineMs: expect.any(Number) as number });
});

test.each(Object.keys(PLACEMENT_STATUS) as PlacementErrorCode[])("%s keeps its code and its sentence on the way", async (code) => {
  const client = await serving({ stop: () => Promise.reject(new PlacementError(code, "because")) });
  await expect(client.stop("x", 5_000)).rejects.toMatchObject({ name: "PlacementError", code, message: "because" });
});

test("without credentials nothing is asked of the placement", async () => {
  let asked = 0;
  const counting = (): never => {
    asked += 1;
    throw new Error("asked");
  };
  const client = await serving({ spawn: counting, stop: counting, logs: counting, follow: counting }, {});
  const follow = async () => {
    for await (const _ of client.follow({ id: "x" }, new AbortController().signal));
  };
  for (const call of [client.spawn({ image_ref: "x", cores: 1, memory: 64 }, 5_000), client.stop("x", 5_000), client.logs({ id: "x" }, 5_000), follow()]) {
    await expect(call).rejects.toMatchObject({ name: "ApiError", code: "denied" });
  }
  expect(asked).toBe(0);
});

test("a reader of logs that stops reading stops the source; one that leaves ends it", async () => {
  const part: LogPart = { allocationId: "a", task: "main", stream: "stdout", bytes: Buffer.alloc(64 * 1024, "x") };
  let made = 0;
  let ended = false;
  const client = await serving({
    follow: async function* (_, { signal }) {
      try {
        for (; signal?.aborted !== true; made += 1) yield part;
      } finally {
        ended = true;
      }
    },
  });
  const leaving = new AbortController();
  const chunks = client.follow({ id: "x" }, leaving.signal)[Symbol.asyncIterator]();
  expect((await chunks.next()).value).toMatchObject({ allocation_id: "a", stream: "stdout", data: part.bytes });
  let last = -1;
  await eventually(() => {
    const still = made === last;
    last = made;
    return still;
  });
  expect(made).toBeLessThan(200); // 12 MB: what gRPC and two sockets hold
  await chunks.return?.(undefined);
  leaving.abort();
  await eventually(() => ended);
});

test("followed logs that fail end with the reason", async () => {
  const client = await serving({
    follow: async function* () {
      yield { allocationId: "a", task: "main", stream: "stderr", bytes: Buffer.from("last words") };
      throw new PlacementError("unavailable", "Nomad went away");
    },
  });
  const heard: string[] = [];
  const read = async () => {
    for await (const { data } of client.follow({ id: "x" }, new AbortController().signal)) heard.push(Buffer.from(data ?? []).toString());
  };
  await expect(read()).rejects.toMatchObject({ code: "unavailable", message: "Nomad went away" });
  expect(heard).toEqual(["last words"]);
  expect(status.UNAVAILABLE).toBe(PLACEMENT_STATUS.unavailable.grpc);
});
