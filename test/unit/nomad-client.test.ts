/** The Nomad client against a server that misbehaves in every way, over TCP and over a unix socket. */
import { getEventListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NomadLimits } from "../../src/sidecar/nomad/calls.js";
import { createNomadClient } from "../../src/sidecar/nomad/client.js";
import { nomadSettingsFrom } from "../../src/sidecar/nomad/settings.js";
import { type NomadApi, NomadError, type NomadErrorCode } from "../../src/sidecar/nomad-api.js";

const TOKEN = "5ec2e7-token";
const LIMITS: NomadLimits = { timeoutMs: 10_000, maxBytes: 4_096 };
const SELF = { config: { ACL: { Enabled: true } }, stats: { client: { node_id: "n1", num_allocations: "2" } } };
const ALLOCATION = {
  ID: "a1",
  JobID: "web",
  Namespace: "default",
  TaskGroup: "front",
  ClientStatus: "running",
  DesiredStatus: "run",
  CreateTime: Number("1795466308030704466"), // nanoseconds, as JSON.parse would round them
};

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** Ends connections too: half of these tests leave one hanging. */
async function listen(server: Server, path?: string): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket.on("error", () => {}));
  });
  await new Promise<void>((resolve) => (path === undefined ? server.listen(0, "127.0.0.1", resolve) : server.listen(path, resolve)));
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return path === undefined ? `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` : `unix://${path}`;
}

function client(address: string, env: Record<string, string> = {}, limits: Partial<NomadLimits> = {}): Promise<NomadApi> {
  return createNomadClient(nomadSettingsFrom({ NOMAD_ADDR: address, NOMAD_TOKEN: TOKEN, ...env }), { ...LIMITS, ...limits });
}

async function answering(listener: RequestListener, limits: Partial<NomadLimits> = {}): Promise<NomadApi> {
  return client(await listen(createServer(listener)), {}, limits);
}

function json(value: unknown): RequestListener {
  return (_, response) => response.setHeader("content-type", "application/json").end(JSON.stringify(value));
}

async function failure(call: Promise<unknown>): Promise<NomadError> {
  const error = await call.then(
    () => new Error("it succeeded"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(NomadError);
  const nomad = error as NomadError;
  expect(JSON.stringify([nomad.message, nomad.fields, nomad.stack])).not.toContain(TOKEN);
  return nomad;
}

test("asks with token, region and namespace, and takes what a stale server knows", async () => {
  const seen: unknown[] = [];
  const address = await listen(
    createServer((request, response) => {
      seen.push([request.method, request.url, request.headers["x-nomad-token"]]);
      json(SELF)(request, response);
    }),
  );
  const nomad = await client(address, { NOMAD_REGION: "eu west", NOMAD_NAMESPACE: "team" });
  expect(await nomad.self()).toEqual({ aclEnabled: true, isClient: true, nodeId: "n1", heldAllocations: 2 });
  expect(seen).toEqual([["GET", "/v1/agent/self?stale=true&region=eu+west&namespace=team", TOKEN]]);
});

test("speaks over a unix socket", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ibrl-nomad-"));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  const nomad = await client(await listen(createServer(json(SELF)), join(folder, "nomad.sock")));
  expect(await nomad.self()).toMatchObject({ nodeId: "n1" });
});

test("an agent that is a server only has no node", async () => {
  const nomad = await answering(json({ config: {}, stats: { nomad: {} } }));
  expect(await nomad.self()).toEqual({ aclEnabled: false, isClient: false });
});

test("reads a node, with drivers and attributes of any name", async () => {
  const body = `{"ID":"n1","Name":"x","Status":"ready","Drivers":{"__proto__":{"Detected":true,"Healthy":true},"docker":{"Detected":true,"Healthy":false},"odd":{}},"Attributes":{"unique.consul.name":"web-1","empty":"","odd":1}}`;
  const node = await (await answering((_, response) => response.end(body))).node("n1");
  expect([...node.drivers]).toEqual([
    ["__proto__", { detected: true, healthy: true }],
    ["docker", { detected: true, healthy: false }],
    ["odd", { detected: false, healthy: false }],
  ]);
  expect(Object.fromEntries(node.attributes)).toEqual({ "unique.consul.name": "web-1", empty: "" });
});

test("reads allocations, with the drivers of their own group where the job is there", async () => {
  const Job = {
    Meta: { owner: "web" },
    TaskGroups: [
      { Name: "back", Tasks: [{ Driver: "java" }] },
      { Name: "front", Tasks: [{ Driver: "exec" }, { Driver: "docker" }, { Driver: "exec" }] },
    ],
  };
  const nomad = await answering(json([{ ...ALLOCATION, Job }, { ...ALLOCATION, ID: "a2", Job: null }]));
  const [first, second] = await nomad.allocations("n1");
  expect(first).toEqual({
    id: "a1",
    jobId: "web",
    namespace: "default",
    taskGroup: "front",
    clientStatus: "running",
    desiredStatus: "run",
    createdAtMs: 1_795_466_308_030,
    drivers: ["docker", "exec"],
    meta: new Map([["owner", "web"]]),
  });
  expect(second).not.toHaveProperty("drivers");
  expect(second).not.toHaveProperty("meta");
});

test("asks for the waiting evaluations of one node, of all namespaces, and takes no others for them", async () => {
  const queries: URLSearchParams[] = [];
  const evaluation = { ID: "e1", JobID: "web", Status: "blocked", NodeID: "n1", Type: "system" };
  const answers = [[evaluation, { ...evaluation, ID: "e2", Status: "pending" }], [{ ...evaluation, Status: "complete" }]];
  const nomad = await answering((request, response) => {
    queries.push(new URL(request.url ?? "", "http://nomad").searchParams);
    response.end(JSON.stringify(answers.shift()));
  });
  expect(await nomad.waitingEvaluations('n"1')).toEqual([
    { id: "e1", jobId: "web", status: "blocked" },
    { id: "e2", jobId: "web", status: "pending" },
  ]);
  const filter = 'NodeID == "n\\"1" and (Status == "blocked" or Status == "pending")';
  expect(Object.fromEntries(queries[0] ?? [])).toEqual({ stale: "true", namespace: "*", filter });
  expect((await failure(nomad.waitingEvaluations("n1"))).code).toBe("protocol");
});

test("a node ID cannot leave its place in the path", async () => {
  const urls: (string | undefined)[] = [];
  const nomad = await answering((request, response) => {
    urls.push(request.url);
    response.writeHead(404).end("node not found");
  });
  expect((await failure(nomad.node("../jobs?x#y"))).code).toBe("not-found");
  expect(urls).toEqual(["/v1/node/..%2Fjobs%3Fx%23y?stale=true"]);
});

test.each<[number, string, NomadErrorCode, boolean]>([
  [400, "bad", "rejected", false],
  [403, "Permission denied", "permission", false],
  [404, "node not found", "not-found", false],
  [429, "slow down", "rate-limited", true],
  [500, "No cluster leader", "no-leader", true],
  [500, "rpc error: No path to region", "no-leader", true],
  [500, "no servers", "no-leader", true],
  [500, "boom", "server", true],
  [503, "", "server", true],
  [204, "", "protocol", true],
  [301, "", "protocol", true],
])("status %d %j is %s", async (status, body, code, transient) => {
  const nomad = await answering((_, response) => response.writeHead(status, { location: "http://127.0.0.1:1/" }).end(body));
  const error = await failure(nomad.self());
  expect([error.code, error.transient, error.fields.status, error.absent]).toEqual([code, transient, status, false]);
});

test("a refusal names the ACL rules that the call needs", async () => {
  const nomad = await answering((_, response) => response.writeHead(403).end("Permission denied"));
  expect((await failure(nomad.self())).fields.permission).toBe("agent:read");
  expect((await failure(nomad.node("n1"))).fields.permission).toBe("node:read");
  expect((await failure(nomad.allocations("n1"))).message).toContain("namespace:read-job");
});

test("an error that echoes the request is shortened to a line without the token", async () => {
  const nomad = await answering((request, response) => {
    response.writeHead(500).end(`boom\n\x1b[31m ${String(request.headers["x-nomad-token"])} ${"x".repeat(2_000)}`);
  });
  const { message } = await failure(nomad.self());
  expect(message).toMatch(/^Nomad self: 500 boom \[31m <token> x+$/);
  expect(message.length).toBeLessThan(450);
});

test.each<[string, string]>([
  ["HTML", "<html>Welcome</html>"],
  ["nothing", ""],
  ["cut JSON", '{"config":'],
  ["bytes that are no UTF-8", "\xff"],
  ["a list", "[]"],
  ["null", "null"],
  ["no statistics", '{"config":{}}'],
  ["a node ID that is no text", '{"config":{},"stats":{"client":{"node_id":7,"num_allocations":"0"}}}'],
  ["a count that is none", '{"config":{},"stats":{"client":{"node_id":"n","num_allocations":"-1"}}}'],
])("%s instead of an agent is a protocol error", async (_, body) => {
  const nomad = await answering((__, response) => response.end(Buffer.from(body, "latin1")));
  expect((await failure(nomad.self())).code).toBe("protocol");
});

test.each(Object.keys(ALLOCATION))("an allocation without %s is a protocol error that names it", async (field) => {
  const nomad = await answering(json([{ ...ALLOCATION, [field]: undefined }]));
  const error = await failure(nomad.allocations("n1"));
  expect([error.code, error.message.includes(field)]).toEqual(["protocol", true]);
});

test.each([
  ["announced", { "content-length": "999999999" }],
  ["sent without end", {}],
])("an answer over the cap, %s, is refused", async (_, headers) => {
  const nomad = await answering((__, response) => {
    response.writeHead(200, headers);
    const pour = (): void => {
      while (!response.destroyed && response.write("x".repeat(1_024)));
      if (!response.destroyed) response.once("drain", pour);
    };
    pour();
  });
  expect((await failure(nomad.self())).code).toBe("too-large");
});

test.each<[string, RequestListener]>([
  ["never answers", () => {}],
  ["stops in the middle of its answer", (_, response) => void response.writeHead(200).write("{")],
  [
    "sends a byte now and then",
    (_, response) => {
      const drip = setInterval(() => response.write(" "), 5);
      response.on("close", () => clearInterval(drip));
    },
  ],
])("a server that %s is left at the deadline", async (_, listener) => {
  const nomad = await answering(listener);
  const error = await failure(nomad.self({ timeoutMs: 50 }));
  expect([error.code, error.transient]).toEqual(["timeout", true]);
});

test("an abort ends a call under way and one not yet begun", async () => {
  const controller = new AbortController();
  const nomad = await answering(() => controller.abort());
  expect((await failure(nomad.self({ signal: controller.signal }))).code).toBe("aborted");
  expect((await failure(nomad.self({ signal: controller.signal }))).code).toBe("aborted");
});

test("a signal that lives as long as the sidecar gathers no listeners", async () => {
  const { signal } = new AbortController();
  const nomad = await answering(json(SELF));
  await Promise.all([nomad.self({ signal }), nomad.self({ signal }), failure(nomad.node("n1", { signal }))]);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("a server that closes, or speaks another protocol, is told apart from one that is not there", async () => {
  const closes = await client(await listen(createTcpServer((socket) => socket.destroy())));
  const closed = await failure(closes.self());
  expect([closed.code, closed.absent]).toEqual(["unreachable", false]);

  const babbles = await client(await listen(createTcpServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n"))));
  expect((await failure(babbles.self())).code).toBe("protocol");

  const halfway = await answering((_, response) => {
    response.writeHead(200, { "content-length": "100" }).write("{", () => response.destroy());
  });
  expect((await failure(halfway.self())).code).toBe("unreachable");
});

test("no Nomad at all is an expected state: nobody listens, or the socket is not there", async () => {
  const server = createTcpServer();
  const address = await listen(server);
  await Promise.all(closing.splice(0).map((close) => close()));
  for (const nomad of [await client(address), await client(`unix://${join(tmpdir(), "ibrl-no-such.sock")}`)]) {
    const error = await failure(nomad.self());
    expect([error.code, error.absent, error.transient]).toEqual(["unreachable", true, true]);
  }
});

test("TLS asked of a server that has none is no answer", async () => {
  const plain = await listen(createServer(json(SELF)));
  const error = await failure((await client(plain.replace("http:", "https:"))).self());
  expect([error.code, error.absent]).toEqual(["unreachable", false]);
});
