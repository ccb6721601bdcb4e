/** The HTTP side over real sockets: the ancestor's JSON, and what a hostile client gets. */
import { connect } from "node:net";
import { pino } from "pino";
import { Gauge, Registry } from "prom-client";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { ReadyStatus } from "../../src/sidecar/api/cluster-reader.js";
import { HttpApi, type HttpApiOptions } from "../../src/sidecar/api/http-server.js";
import type { HostPort } from "../../src/sidecar/settings.js";
import { BEARER, NOMAD_TOKEN, someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { identity, NOW_MS, verifiedBeacon, verifiedState, workload } from "../harness/records.js";

const silent = pino({ level: "silent" });
const place = { id: "5f3c2d1e-0a9b-4c8d-8e7f-112233445566", address: "192.0.2.17", datacenter: "dc1" };
const views: NodeView[] = [
  {
    ...place, name: "node-a", trust: "pinned", alive: true,
    beacon: verifiedBeacon({ node: "node-a", queueDepth: 0, lossRatio: 0 }),
    state: verifiedState({ node: "node-a", workloads: [workload(1)] }),
  },
  { ...place, name: "node-b", trust: "no-sidecar" },
];
const ready: ReadyStatus = { ready: true, consul: "connected", standalone: false };

const started: HttpApi[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((api) => api.close(0)));
});

async function serve(options: Partial<HttpApiOptions> = {}): Promise<HostPort & { url: string; api: HttpApi }> {
  const api = new HttpApi({
    bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), logger: silent, registry: new Registry(),
    reader: { list: async () => views }, readiness: { status: () => ready }, ...options,
  });
  started.push(api);
  const bound = await api.start();
  return { ...bound, url: `http://127.0.0.1:${String(bound.port)}`, api };
}

/** Sends bytes as they are; resolves with all that came when the server closes the connection. */
function raw({ host, port }: HostPort, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connect(port, host, () => socket.write(text));
    socket.on("data", (chunk) => (got += chunk.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(got));
  });
}

describe("/list", () => {
  test.each(["GET", "POST"])("%s answers the ancestor's JSON with what a client verifies beside it", async (method) => {
    const { url } = await serve();
    const answer = await fetch(`${url}/list`, { method });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    const base64 = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("base64");
    const [a] = views;
    expect(await answer.json()).toEqual({
      response: {
        reputation_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        states: [
          {
            node: { id: place.id, ip: place.address, name: "node-a", datacenter: "dc1" },
            trust: "pinned", alive: true,
            sealed_beacon: base64(a?.beacon?.sealed), sealed_state: base64(a?.state?.sealed), state_signature: base64(a?.state?.signature),
            beacon: {
              beacon_node_id: Buffer.from(identity(1).publicKey.subarray(0, 8)).toString("hex"),
              node_signature: base64(a?.beacon?.signature), timestamp: NOW_MS / 1000, node_capabilities: ["container", "vm"],
              latency_ms: 12.35, jitter_ms: 1, packet_loss: 0, queue_depth: 0, price_per_gb: 0.01,
            },
            workloads: [{ id: workload(1).id, allocation_id: workload(1).id }],
          },
          { node: { id: place.id, ip: place.address, name: "node-b", datacenter: "dc1" }, trust: "no-sidecar" },
        ],
      },
    });
  });

  test("no node is an empty response", async () => {
    const { url } = await serve({ reader: { list: async () => [] } });
    expect(await (await fetch(`${url}/list`)).json()).toEqual({ response: {} });
  });

  test("HEAD has the headers of GET and no body", async () => {
    const { url } = await serve();
    const [head, get] = [await fetch(`${url}/list`, { method: "HEAD" }), await fetch(`${url}/list`)];
    expect(await head.text()).toBe("");
    expect(head.headers.get("content-length")).toBe(String((await get.arrayBuffer()).byteLength));
  });

  test("a failure is 400 with the error, logged", async () => {
    const lines: string[] = [];
    const logger = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
    const { url } = await serve({ logger, reader: { list: async () => Promise.reject(new Error("no registry")) } });
    const answer = await fetch(`${url}/list`);
    expect([answer.status, await answer.json()]).toEqual([400, { error: "no registry" }]);
    expect(lines.join("")).toMatch(/http request failed/);
  });

  test("the reader hears of a client that goes away", async () => {
    let heard: () => void = () => {};
    let asked: () => void = () => {};
    const aborted = new Promise<void>((resolve) => (heard = resolve));
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const { url } = await serve({
      reader: {
        list: (options) =>
          new Promise((_resolve, reject) => {
            options?.signal?.addEventListener("abort", () => (heard(), reject(new Error("aborted"))));
            asked();
          }),
      },
    });
    const client = new AbortController();
    const answer = fetch(`${url}/list`, { signal: client.signal }).catch(() => "gone");
    await reached;
    client.abort();
    expect(await answer).toBe("gone");
    await aborted;
  });
});

describe("the other paths", () => {
  test.each([
    ["POST", "/spawn", 400, /image_ref/, null],
    ["POST", "/stop?id=x", 409, /--placer/, null],
    ["POST", "/stop", 400, /id is missing/, null],
    ["POST", "/logs?id=x", 409, /--placer/, null],
    ["PUT", "/stop?id=x", 405, /takes POST/, "POST"],
    ["GET", "/logs?id=x", 401, /who calls/, null],
    ["PUT", "/logs?id=x", 405, /takes GET, POST/, "GET, POST"],
    ["GET", "/stop?id=x", 405, /any web page/, "POST"],
    ["GET", "/spawn", 405, /any web page/, "POST"],
    ["DELETE", "/list", 405, /takes GET, HEAD, POST/, "GET, HEAD, POST"],
    ["POST", "/metrics", 405, /takes GET, HEAD/, "GET, HEAD"],
    ["OPTIONS", "/list", 405, /takes/, "GET, HEAD, POST"],
    ["GET", "/", 404, /\/list/, null],
    ["GET", "/list/", 404, /no such path/, null],
    ["GET", "/__proto__", 404, /no such path/, null],
  ])("%s %s answers %i", async (method, path, status, error, allow) => {
    const { url } = await serve();
    const answer = await fetch(url + path, { method, ...(method === "POST" ? { headers: { ...BEARER, "Content-Type": "application/json" } } : {}) });
    expect(answer.status).toBe(status);
    expect(((await answer.json()) as { error: string }).error).toMatch(error);
    expect(answer.headers.get("allow")).toBe(allow);
  });

  test("/metrics is the registry's text", async () => {
    const registry = new Registry();
    new Gauge({ name: "a_gauge", help: "h", registers: [registry] }).set(3);
    const { url } = await serve({ registry });
    const answer = await fetch(`${url}/metrics`);
    expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).toMatch(/^a_gauge 3$/m);
  });

  test("/healthz lives although nothing is ready; /readyz says what of Consul", async () => {
    let status: ReadyStatus = { ready: false, consul: "connecting", standalone: false };
    const { url } = await serve({ readiness: { status: () => status } });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const before = await fetch(`${url}/readyz`);
    expect([before.status, await before.json()]).toEqual([503, status]);
    status = { ready: true, consul: "unreachable", standalone: true };
    const after = await fetch(`${url}/readyz`);
    expect([after.status, await after.json()]).toEqual([200, status]);
  });

  test("each answer is told once, paths outside the table as other", async () => {
    const told: [string, number][] = [];
    const { url } = await serve({ onAnswer: (route, status) => told.push([route, status]) });
    for (const path of ["/list?x=1", "/nothing", "/spawn"]) await fetch(url + path);
    expect(told).toEqual([["/list", 200], ["other", 404], ["/spawn", 405]]);
  });
});

describe("a change", () => {
  const json = { "Content-Type": "application/json" };
  const post = async (headers: Record<string, string>, path = "/spawn") => {
    const { host, port } = await serve();
    const lines = Object.entries({ Host: `127.0.0.1:${String(port)}`, "Content-Length": "2", Connection: "close", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    const [head = "", body = ""] = (await raw({ host, port }, `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n{}`)).split("\r\n\r\n");
    return { status: Number(head.split(" ")[1]), head, body, port };
  };

  test.each(["/spawn", "/stop?id=x"])("POST %s asks who calls, on loopback too", async (path) => {
    const status = async (headers: Record<string, string>) => (await post({ ...json, ...headers }, path)).status;
    expect(await status({})).toBe(401);
    expect(await status({ Authorization: "Bearer 00" })).toBe(401);
    expect(await status({ "X-Nomad-Token": "8176afd3-772d-0b71-8f85-7fa5d903e9d4" })).toBe(401);
    expect(await status({ "X-Nomad-Token": NOMAD_TOKEN })).toBe(path === "/spawn" ? 400 : 409);
    expect(await status(BEARER)).toBe(path === "/spawn" ? 400 : 409);
  });

  // What a page can make the operator's browser send, with every secret that it could have come by.
  test.each<[string, Record<string, string>]>([
    ["of another site", { ...json, ...BEARER, Origin: "http://evil.example" }],
    ["of another port of this host", { ...json, ...BEARER, Origin: "http://127.0.0.1:1" }],
    ["of a sandboxed frame", { ...json, ...BEARER, Origin: "null" }],
    ["whose browser says that it is cross-site", { ...json, ...BEARER, "Sec-Fetch-Site": "cross-site" }],
    ["whose browser says that it is same-site", { ...json, ...BEARER, "Sec-Fetch-Site": "same-site" }],
    ["under a name that was rebound to 127.0.0.1", { ...json, ...BEARER, Host: "evil.example" }],
  ])("by a page %s is refused", async (_, headers) => {
    const { status, head } = await post(headers);
    expect(status).toBe(403);
    expect(head).not.toMatch(/access-control/i);
  });

  test.each(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/jsonp", ""])("as %j, which a form can send, is 415", async (type) => {
    expect(await post({ ...BEARER, ...(type === "" ? {} : { "Content-Type": type }) })).toMatchObject({ status: 415 });
  });

  test("by a page of this very server passes", async () => {
    const { host, port } = await serve();
    const own = `127.0.0.1:${String(port)}`;
    const text = `POST /spawn HTTP/1.1\r\nHost: ${own}\r\nOrigin: http://${own}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json; charset=utf-8\r\n${Object.entries(BEARER).map(([n, v]) => `${n}: ${v}`).join("")}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`;
    expect(await raw({ host, port }, text)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("a preflight gets no leave", async () => {
    const { url } = await serve();
    const answer = await fetch(`${url}/spawn`, { method: "OPTIONS", headers: { Origin: "http://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-nomad-token" } });
    expect(answer.status).toBe(405);
    expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("a hostile client", () => {
  const get = (headers: string, path = "/list") => `GET ${path} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;

  test.each(["Host: evil.example\r\n", "", "Host: localhost.evil.example:80\r\n"])("%j as Host is refused", async (host) => {
    const answer = await raw(await serve(), get(host));
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).not.toMatch(/node-a/);
  });

  test("a configured name passes", async () => {
    expect(await raw(await serve({ hostNames: ["node-a.internal"] }), get("Host: node-a.internal:8001\r\n"))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("no answer invites another origin", async () => {
    const { url } = await serve();
    const answer = await fetch(`${url}/list`, { headers: { Origin: "http://evil.example" } });
    expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("headers over the limit are 431", async () => {
    expect(await raw(await serve(), get(`Host: localhost\r\nX: ${"a".repeat(9_000)}\r\n`))).toMatch(/^HTTP\/1\.1 431 /);
  });

  test("a body announced over the limit is 413, and not waited for", async () => {
    expect(await raw(await serve(), "POST /list HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n")).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("a body that grows over the limit is 413", async () => {
    const bound = await serve({ limits: { maxBodyBytes: 16 } });
    const chunk = "a".repeat(17);
    expect(await raw(bound, `POST /list HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n${chunk}\r\n`)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("a header that never ends is 408", async () => {
    const bound = await serve({ limits: { headersTimeoutMs: 50, requestTimeoutMs: 50, checkIntervalMs: 10 } });
    expect(await raw(bound, "GET /list HTTP/1.1\r\nHost: localhost\r\nX-Slow:")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("what is no HTTP is 400", async () => {
    expect(await raw(await serve(), "\u0016\u0003\u0001 hello\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("a full port: the connection whose client is idle makes room, the one that is worked for does not", async () => {
    let asked: () => void = () => {};
    let finish: () => void = () => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const bound = await serve({ limits: { total: 1 }, reader: { list: () => new Promise((resolve) => ((finish = () => resolve(views)), asked())) } });
    const idle = connect(bound.port, bound.host);
    idle.on("error", () => {});
    await new Promise((resolve) => idle.once("connect", resolve));
    const cut = new Promise((resolve) => idle.once("close", resolve));
    const worked = raw(bound, get("Host: localhost\r\n"));
    await cut;
    await reached;
    expect(await raw(bound, get("Host: localhost\r\n", "/healthz"))).toBe("");
    finish();
    expect(await worked).toMatch(/^HTTP\/1\.1 200 /);
    expect(await raw(bound, get("Host: localhost\r\n", "/healthz"))).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("calls over a client's share are 429, health is not; the share comes back", async () => {
    let asked: () => void = () => {};
    let finish: () => void = () => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const { url } = await serve({ limits: { openPerClient: 1 }, reader: { list: () => new Promise((resolve) => ((finish = () => resolve(views)), asked())) } });
    const first = fetch(`${url}/list`);
    await reached;
    const over = await fetch(`${url}/logs`);
    expect([over.status, over.headers.get("retry-after"), await over.json()]).toEqual([429, "1", { error: expect.stringMatching(/too many calls/) as string }]);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    finish();
    expect((await first).status).toBe(200);
    expect((await fetch(`${url}/logs`)).status).toBe(401);
  });

  test("calls over a client's rate are 429", async () => {
    const { url } = await serve({ limits: { perS: 0, burst: 2 } });
    expect([(await fetch(`${url}/logs`)).status, (await fetch(`${url}/logs`)).status, (await fetch(`${url}/logs`)).status]).toEqual([401, 401, 429]);
  });

  test("a client that does not take its answer is cut in the end", async () => {
    const big = { ...views[0], detail: "x".repeat(8 * 1024 * 1024) } as NodeView;
    const bound = await serve({ limits: { callMs: 300, openPerClient: 1 }, reader: { list: async () => [big] } });
    const slow = connect(bound.port, bound.host);
    slow.pause().on("error", () => {});
    slow.write(get("Host: localhost\r\n"));
    // Its share comes back although it never reads.
    let status = 429;
    while (status === 429) {
      status = (await fetch(`${bound.url}/logs`)).status;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(status).toBe(401);
    slow.destroy();
  });
});

describe("starting and closing", () => {
  test("a taken port is named as such", async () => {
    const { host, port } = await serve();
    const second = new HttpApi({ bind: { host, port }, insecureBind: false, guard: someGuard(), workloads: someWorkloads(), logger: silent, registry: new Registry(), reader: { list: async () => [] }, readiness: { status: () => ready } });
    await expect(second.start()).rejects.toMatchObject({ name: "BindError", code: "in-use" });
  });

  test("an address beyond loopback is refused before anything listens", async () => {
    await expect(serve({ bind: { host: "0.0.0.0", port: 0 } })).rejects.toMatchObject({ code: "not-loopback" });
  });

  test("close cuts what does not finish in its grace, and lets the reader know", async () => {
    let asked: () => void = () => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    let aborted = false;
    const { url, api } = await serve({
      reader: { list: (options) => new Promise(() => (options?.signal?.addEventListener("abort", () => (aborted = true)), asked())) },
    });
    const answer = fetch(`${url}/list`).then(() => "answered", () => "cut");
    await reached;
    await api.close(1);
    expect([await answer, aborted]).toEqual(["cut", true]);
  });

  test("close waits for an answer within its grace", async () => {
    let asked: () => void = () => {};
    let finish: () => void = () => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const { url, api } = await serve({ reader: { list: () => new Promise((resolve) => ((finish = () => resolve(views)), asked())) } });
    const answer = fetch(`${url}/list`);
    await reached;
    const closed = api.close(60_000);
    finish();
    expect((await answer).status).toBe(200);
    await closed;
  });
});
