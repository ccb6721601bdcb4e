/** Fault-test 25: clients that want to exhaust a sidecar. It refuses them, holds nothing for them, and health answers meanwhile. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { gzipSync } from "node:zlib";
import * as grpc from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { callSidecar } from "../../src/sidecar/api/client.js";
import { ClusterServiceDefinition } from "../../src/sidecar/api/service-definition.js";
import { builtProject, startCli } from "../harness/built-cli.js";
import { eventually } from "../harness/cluster.js";

const LIST = "/cluster.services.api.ClusterService/List";
/** Below what 10,000 connections, or one message of a megabyte for each stream of them, would take. */
const ROOM_BYTES = 150 * 1024 * 1024;
const POOL = 64;

let folder: string;
let sidecar: ChildProcess;
let address: { grpc: string; http: string };
const ending: (() => unknown)[] = [];

beforeAll(async () => {
  builtProject();
  folder = mkdtempSync(join(tmpdir(), "ibrl-hostile-"));
  sidecar = startCli(["sidecar"], {
    CONSUL_HTTP_ADDR: "127.0.0.1:1", NOMAD_ADDR: "http://127.0.0.1:1", IBRL_STATE_DIR: folder,
    IBRL_GRPC_BIND_ADDR: "127.0.0.1:0", IBRL_HTTP_BIND_ADDR: "127.0.0.1:0",
  });
  for await (const line of createInterface({ input: sidecar.stderr as NodeJS.ReadableStream })) {
    const said = JSON.parse(line) as { msg: string; grpc: string; http: string };
    if (said.msg !== "sidecar ready") continue;
    address = said;
    break;
  }
  sidecar.stderr?.resume();
}, 60_000);
afterAll(async () => {
  const exited = once(sidecar, "exit");
  sidecar.kill("SIGKILL");
  await exited;
  rmSync(folder, { recursive: true });
});
afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

const status = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${String(sidecar.pid)}/status`, "utf8"))?.[1]) * 1024;
const descriptors = () => readdirSync(`/proc/${String(sidecar.pid)}/fd`).length;

/** Both ports' health, each over a connection of its own. */
async function expectHealthy(): Promise<void> {
  const client = new (grpc.makeGenericClientConstructor(healthService as unknown as grpc.ServiceDefinition, "Health"))(address.grpc, grpc.credentials.createInsecure());
  try {
    const check = client["check"] as (request: object, options: object, done: (error: grpc.ServiceError | null, answer: unknown) => void) => void;
    const answer = await new Promise((resolve, reject) =>
      check.call(client, { service: "" }, { deadline: Date.now() + 20_000 }, (error, value) => (error === null ? resolve(value) : reject(error))));
    expect(answer).toEqual({ status: "SERVING" });
  } finally {
    client.close();
  }
  expect((await fetch(`http://${address.http}/healthz`)).status).toBe(200);
}

function session(): ClientHttp2Session {
  const made = connect(`http://${address.grpc}`);
  made.on("error", () => {});
  ending.push(() => made.destroy());
  return made;
}

const headers = (more = {}) => ({ ":method": "POST", ":path": LIST, "content-type": "application/grpc", te: "trailers", ...more });

/** The gRPC status that ends a call whose body these bytes are. */
async function statusOf(bytes: Buffer, more = {}): Promise<unknown> {
  const stream = session().request(headers(more));
  stream.on("error", () => {});
  const answer = once(stream, "response") as Promise<[Record<string, unknown>]>;
  stream.write(bytes);
  return (await answer)[0]["grpc-status"];
}

const prefix = (sizeBytes: number, compressed = 0) => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(compressed, 0);
  bytes.writeUInt32BE(sizeBytes, 1);
  return bytes;
};

test("a message over the limit, a prefix of 1 GB, and one that unpacks to 256 MB are refused, and nothing is made for them", async () => {
  await eventually(expectHealthy);
  const peakBytes = status("VmHWM");
  const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024), { level: 9 });
  expect(bomb.length).toBeLessThan(1024 * 1024);
  expect(await statusOf(Buffer.concat([prefix(1_100_000), Buffer.alloc(1_100_000)]))).toBe(String(grpc.status.RESOURCE_EXHAUSTED));
  expect(await statusOf(prefix(1_000_000_000))).toBe(String(grpc.status.RESOURCE_EXHAUSTED));
  expect(await statusOf(prefix(0xffffffff))).toBe(String(grpc.status.RESOURCE_EXHAUSTED));
  expect(await statusOf(Buffer.concat([prefix(bomb.length, 1), bomb]), { "grpc-encoding": "gzip" })).toBe(String(grpc.status.RESOURCE_EXHAUSTED));
  await expectHealthy();
  expect(status("VmHWM") - peakBytes).toBeLessThan(ROOM_BYTES);
}, 120_000);

/** Sessions whose call announces a megabyte that never comes; the function says how many were refused by now. */
function slowCallers(count: number): () => number {
  let refused = 0;
  for (let i = 0; i < count; i += 1) {
    const stream = session().request(headers());
    stream.on("error", () => {}).on("response", (answer) => (refused += answer["grpc-status"] === String(grpc.status.RESOURCE_EXHAUSTED) ? 1 : 0));
    stream.write(Buffer.concat([prefix(1_000_000), Buffer.alloc(1_000)]));
  }
  return () => refused;
}

test("clients that begin calls and never end them have their share and no more: health, and once they are gone calls, are answered", async () => {
  // More than one client's calls (16), fewer than its connections (64), so that none makes room for another. One more for
  // each further look, since calls of the test before may have ended only now.
  const refused = [slowCallers(20)];
  await eventually(async () => {
    const list = callSidecar(ClusterServiceDefinition.List, {}, { address: address.grpc, timeoutMs: 30_000 }).then(() => "answered", (error: unknown) => (error as { code: string }).code);
    if ((await list) !== "busy") refused.push(slowCallers(1));
    expect(await list).toBe("busy");
    expect(refused.reduce((sum, of) => sum + of(), 0)).toBeGreaterThan(0);
  });
  await expectHealthy();
  for (const end of ending.splice(0)) await end();
  await eventually(() => callSidecar(ClusterServiceDefinition.List, {}, { address: address.grpc }));
}, 120_000);

test("hundreds of them make room for each other: health is answered, and memory is flat", async () => {
  const peakBytes = status("VmHWM");
  slowCallers(300);
  await expectHealthy();
  await eventually(() => expect(descriptors()).toBeLessThan(POOL + 100));
  expect(status("VmHWM") - peakBytes).toBeLessThan(ROOM_BYTES);
}, 120_000);

/** Opens connections to a port and holds those that are not closed; says when all were tried. */
const HOLDER = `
const [host, port, count] = process.argv.slice(1);
let begun = 0, settled = 0;
const next = () => {
  if (begun === Number(count)) return;
  begun += 1;
  const socket = require("node:net").connect(Number(port), host);
  let done = false;
  // A connection that is reset at once may never be told to have been open.
  const settle = () => { if (!done) { done = true; settled += 1; next(); if (settled === Number(count)) console.log("tried all"); } };
  socket.on("connect", settle);
  socket.on("error", settle);
};
for (let i = 0; i < 100; i += 1) next();
setInterval(() => {}, 1000);
`;

test.each(["grpc", "http"] as const)("10,000 idle connections to %s: the oldest make room, a pool of them is held, and health answers", async (kind) => {
  // As many as this host's hard limit on descriptors lets one process have.
  const limit = execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).trim();
  const count = limit === "unlimited" ? 10_000 : Math.min(10_000, Number(limit) - 100);
  const before = { descriptors: descriptors(), peakBytes: status("VmHWM") };
  const [host = "", port = ""] = address[kind].split(":");
  const holder = spawn("sh", ["-c", `ulimit -n ${String(count + 100)} && exec "$0" -e "$1" "$2" "$3" "$4"`, process.execPath, HOLDER, host, port, String(count)], { stdio: ["ignore", "pipe", "inherit"] });
  ending.push(async () => {
    const exited = once(holder, "exit");
    holder.kill("SIGKILL");
    await exited;
  });
  const [line] = (await once(createInterface({ input: holder.stdout }), "line")) as [string];
  expect(line).toBe("tried all");
  await expectHealthy();
  // A client's share is held, and the rest was closed.
  await eventually(() => expect(descriptors()).toBeLessThan(before.descriptors + POOL + 20));
  expect(descriptors()).toBeGreaterThan(POOL);
  await expectHealthy();
  expect(status("VmHWM") - before.peakBytes).toBeLessThan(ROOM_BYTES);
}, 240_000);
