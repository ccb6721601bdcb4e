/** Fault 8: a Consul, or something in its place, that misbehaves. */
import { setTimeout as sleep } from "node:timers/promises";
import { type ConsulApi, ConsulError } from "../../src/sidecar/consul-api.js";
import type { ConsulSessions } from "../../src/sidecar/consul-sessions.js";
import type { ConsulConnection } from "../../src/sidecar/consul/connect.js";
import { type Behaviour, MisbehavingServer, answerJson, answerText } from "./misbehaving-server.js";

const PAGE = "<!DOCTYPE html><html><body>Sign in</body></html>";
const SERVICE = {
  id: "s",
  name: "s",
  address: "",
  port: 0,
  tags: [],
  meta: {},
  check: { id: "c", name: "c", ttlMs: 1, deregisterAfterMs: 1 },
};
/** Every call there is. */
const CALLS: [keyof ConsulApi | keyof ConsulSessions, (api: ConsulApi & ConsulSessions) => Promise<unknown>][] = [
  ["self", (api) => api.self()],
  ["members", (api) => api.members()],
  ["registerService", (api) => api.registerService(SERVICE)],
  ["deregisterService", (api) => api.deregisterService("s")],
  ["localService", (api) => api.localService("s")],
  ["passTtl", (api) => api.passTtl("c", "ok")],
  ["serviceInstances", (api) => api.serviceInstances("s")],
  ["nodes", (api) => api.nodes()],
  ["coordinates", (api) => api.coordinates()],
  ["kvGet", (api) => api.kvGet("k")],
  ["kvList", (api) => api.kvList("k/")],
  ["kvPut", (api) => api.kvPut("k", "v")],
  ["kvDelete", (api) => api.kvDelete("k")],
  ["fireEvent", (api) => api.fireEvent("e", new Uint8Array(1))],
  ["events", (api) => api.events("e")],
  ["createSession", (api) => api.createSession({ name: "s", ttlMs: 10_000, lockDelayMs: 0 })],
  ["renewSession", (api) => api.renewSession("s")],
  ["destroySession", (api) => api.destroySession("s")],
  ["acquireLock", (api) => api.acquireLock("k", "s", "v")],
];

describe("a Consul that misbehaves", () => {
  let server: MisbehavingServer;
  let api: ConsulConnection;
  let skipped: [string, number][];

  beforeEach(async () => {
    server = new MisbehavingServer();
    await server.start();
    skipped = [];
    api = server.connect({}, { onSkipped: (...args) => skipped.push(args) });
  });
  afterEach(() => server.stop());

  async function failure(behaviour: Behaviour, call: (api: ConsulApi & ConsulSessions) => Promise<unknown> = (consul) => consul.self()): Promise<ConsulError> {
    server.behave = behaviour;
    const reason = await call(api).then(
      (value) => new Error(`resolved with ${JSON.stringify(value)}`),
      (error: unknown) => error,
    );
    expect(reason).toBeInstanceOf(ConsulError);
    return reason as ConsulError;
  }

  it.each([
    [429, "Your IP is issuing too many concurrent connections", "rate-limited", true],
    [500, "rpc error making call: EOF", "server", true],
    [500, "No cluster leader", "no-leader", true],
    [500, "rpc error getting client: failed to get conn: No known Consul servers", "no-leader", true],
    [503, "rate limit exceeded, try again later or against a different server", "server", true],
    [502, PAGE, "server", true],
    [403, "Permission denied: token with AccessorID 'a1' lacks permission 'agent:read' on \"n1\"", "permission", false],
    [403, "Access is restricted", "permission", false],
    [500, "rpc error making call: Permission denied", "permission", false],
    [400, "Invalid index", "rejected", false],
    [405, "method GET not allowed", "rejected", false],
    [404, "404 page not found", "protocol", true],
    [404, 'Unknown check ID "c". Ensure that the check ID is passed, not the check name.', "not-found", false],
    [500, 'CheckID "c" does not have associated TTL', "not-found", false],
    [307, "", "protocol", true],
  ])("maps %i %p to %s", async (status, text, code, transient) => {
    const error = await failure(answerText(status, text));
    expect(error).toMatchObject({ code, transient, operation: "agent.self", fields: { status } });
    expect(server.requests).toHaveLength(1);
  });

  it.each(CALLS)("maps statuses for %s", async (_name, call) => {
    expect(await failure(answerText(429, "slow down"), call)).toMatchObject({ code: "rate-limited" });
    expect(await failure(answerText(500, "No cluster leader"), call)).toMatchObject({ code: "no-leader" });
    expect(await failure(answerText(403, "Permission denied"), call)).toMatchObject({ code: "permission", fields: { permission: expect.stringMatching(/^\w+:(read|write)/) } });
  });

  it.each(CALLS)("takes a 200 page of HTML for no answer to %s", async (_name, call) => {
    const error = await failure(answerText(200, PAGE, "text/html"), call);
    expect(error.code).toBe("protocol");
    expect(error.message.length).toBeLessThan(400);
  });

  const WRONG_SHAPES = ["null", "7", '"text"', "{}", "[null]", "[[]]", '[{"Key":7}]', '{"Config":null}', '{"__proto__":{"ID":"x"}}', "[", "", "\u0000", '[{"Node":{"Node":null}}]'];
  it.each(WRONG_SHAPES)("does not accept %p where Consul sends something else", async (body) => {
    const mayBeEmpty: (typeof CALLS)[number][0][] = ["registerService", "deregisterService", "passTtl"];
    for (const [name, call] of CALLS) {
      if (mayBeEmpty.includes(name) && (body === "" || body === "null")) continue;
      expect([name, (await failure(answerJson(body), call)).code]).toEqual([name, "protocol"]);
    }
  });

  it("skips and counts a malformed entry, and keeps the others", async () => {
    const node = (name: unknown) => ({ ID: "", Node: name, Address: "10.0.0.1", Datacenter: "dc1" });
    server.behave = answerJson(JSON.stringify([node("a"), node(7), null, node("b")]));
    expect((await api.nodes()).value.map((entry) => entry.node)).toEqual(["a", "b"]);
    expect(skipped).toEqual([["catalog.nodes", 2]]);
  });

  it("leaves out an instance one of whose checks is not understood", async () => {
    const instance = (status: string) => ({
      Node: { ID: "i", Node: status, Address: "10.0.0.1", Datacenter: "dc1" },
      Service: { ID: "s", Address: "", Tags: null, Meta: null },
      Checks: [{ CheckID: "c", Status: status }],
    });
    server.behave = answerJson(JSON.stringify([instance("passing"), instance("splendid")]));
    const { value } = await api.serviceInstances("s");
    expect(value).toEqual([expect.objectContaining({ node: "passing", port: 0, tags: [], meta: {}, checks: [{ id: "c", status: "passing" }] })]);
  });

  it("reads coordinates of the LAN segment, finite numbers only", async () => {
    const at = (Node: string, Segment: string, Height = "1e-5") =>
      `{"Node":"${Node}","Segment":"${Segment}","Coord":{"Vec":[0.1,-2e-3],"Error":1.5,"Adjustment":-1e-4,"Height":${Height}}}`;
    server.behave = answerJson(`[${at("a", "")},${at("b", "other")},${at("c", "", "1e999")}]`);
    const { value } = await api.coordinates();
    expect(value).toEqual([{ node: "a", vector: [0.1, -0.002], error: 1.5, adjustment: -0.0001, height: 0.00001 }]);
    expect(skipped).toEqual([["coordinate.nodes", 1]]);
  });

  it("keeps indexes above 2^53 digit for digit", async () => {
    const index = "18446744073709551615";
    server.behave = answerJson(`[{"Key":"k","Value":null,"ModifyIndex":9007199254740993}]`, { index });
    await expect(api.kvGet("k")).resolves.toMatchObject({ index, value: { modifyIndex: "9007199254740993" } });
    server.behave = answerJson("[]", { index });
    await expect(api.events("e", { index, waitMs: 10 })).resolves.toMatchObject({ index });
    expect(server.requests.at(-1)?.url).toContain(`index=${index}`);
  });

  it.each(["", "-1", "1e3", "0x10", "123456789012345678901"])("takes %p for no index", async (index) => {
    expect((await failure(answerJson("[]", { index }), (consul) => consul.nodes())).code).toBe("protocol");
  });

  it("does not take the 404 of something else for a key that is not there", async () => {
    expect((await failure(answerText(404, "404 page not found"), (consul) => consul.kvGet("k"))).code).toBe("protocol");
    expect((await failure(answerText(404, PAGE, "text/html"), (consul) => consul.localService("k"))).code).toBe("protocol");
    server.behave = answerJson("", { status: 404 });
    await expect(api.kvGet("k")).resolves.toMatchObject({ value: null, index: "7" });
  });

  it("gives up on an answer that never comes, and closes the connection", async () => {
    const error = await failure(() => {}, (consul) => consul.self({ timeoutMs: 30 }));
    expect(error).toMatchObject({ code: "timeout", transient: true });
    await server.socketsClosed();
    expect(server.openSockets).toBe(0);
  });

  it("gives up on an answer that trickles, at the deadline of the whole call", async () => {
    const trickle: Behaviour = (_request, response, socket) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      void (async () => {
        for (; !socket.destroyed; await sleep(2)) response.write(" ");
      })();
    };
    expect((await failure(trickle, (consul) => consul.self({ timeoutMs: 60 }))).code).toBe("timeout");
    await server.socketsClosed();
  });

  it("waits for a blocking read as long as it asked Consul to wait, and not longer", async () => {
    const error = await failure(() => {}, (consul) => consul.nodes({ index: "1", waitMs: 20, timeoutMs: 10 }));
    expect(error.code).toBe("timeout");
    expect(server.requests[0]?.url).toContain("wait=20ms");
  });

  it.each([
    ["before the head", (socket: { end(): void }) => socket.end()],
    ["in the middle of the body", (socket: { end(data: string): void }) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")],
    ["in the middle of a chunk", (socket: { end(data: string): void }) => socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[")],
  ])("does not wait for its deadline when the server closes its half of the connection %s", async (_when, close) => {
    const error = await failure((_request, _response, socket) => close(socket), (consul) => consul.self({ timeoutMs: 600_000 }));
    expect(error).toMatchObject({ code: "unreachable", transient: true });
  });

  it("stops reading an answer without end", async () => {
    const endless: Behaviour = (_request, response) => {
      response.writeHead(200, { "Content-Type": "application/json" });
      const chunk = Buffer.alloc(64 * 1024, " ");
      const more = () => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", more);
      more();
    };
    const error = await failure(endless, (consul) => consul.events("e"));
    expect(error).toMatchObject({ code: "too-large", transient: false });
    await server.socketsClosed();
    // What is on its way when we stop is bounded by the buffers of the two sockets.
    expect(server.sentBytes).toBeLessThan(32 * 1024 * 1024);
  });

  it("reads no more of an error than its reason", async () => {
    const endless: Behaviour = (_request, response) => {
      response.writeHead(500, { "Content-Type": "text/plain" });
      response.write("No cluster leader ");
      response.write("x".repeat(1024 * 1024));
    };
    const error = await failure(endless, (consul) => consul.self({ timeoutMs: 600_000 }));
    expect(error).toMatchObject({ code: "no-leader", fields: { status: 500 } });
    expect(error.message.length).toBeLessThan(400);
  });

  it("says that something else than HTTP answers", async () => {
    expect((await failure((_request, _response, socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"))).code).toBe("protocol");
  });

  it("is unreachable once it is gone", async () => {
    const gone = new MisbehavingServer();
    await gone.start();
    const connection = gone.connect();
    await gone.stop();
    await expect(connection.self()).rejects.toMatchObject({ code: "unreachable", message: expect.stringContaining("ECONNREFUSED") });
  });

  it("has no secret in what it reports", async () => {
    const secrets = { CONSUL_HTTP_TOKEN: "token-secret", CONSUL_HTTP_AUTH: "user:password-secret" };
    const connection = server.connect(secrets);
    server.behave = answerText(500, "boom");
    const error = (await connection.self().catch((reason: unknown) => reason)) as ConsulError;
    expect(server.requests[0]?.headers).toMatchObject({ "x-consul-token": "token-secret", authorization: `Basic ${btoa("user:password-secret")}` });
    const { inspect } = await import("node:util");
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/token-secret|password-secret/);
  });

  it("keeps the prefix of a reverse proxy", async () => {
    const connection = server.connect({ CONSUL_HTTP_ADDR: `http://127.0.0.1:${server.port}/behind/proxy/` });
    server.behave = answerJson("[]");
    await connection.nodes();
    expect(server.requests[0]?.url).toBe("/behind/proxy/v1/catalog/nodes");
  });

  it("is found at an IPv6 address", async () => {
    const six = new MisbehavingServer();
    await six.start("::1");
    six.behave = answerJson("[]");
    await expect(six.connect({ CONSUL_HTTP_ADDR: `[::1]:${six.port}` }).nodes()).resolves.toMatchObject({ value: [] });
    expect(six.requests[0]?.headers.host).toBe(`[::1]:${six.port}`);
    await six.stop();
  });

  it("refuses to ask for what cannot be asked", async () => {
    await expect(api.kvGet("")).rejects.toMatchObject({ code: "rejected" });
    await expect(api.kvGet("\ud800")).rejects.toMatchObject({ code: "rejected" });
    expect(server.requests).toHaveLength(0);
  });
});
