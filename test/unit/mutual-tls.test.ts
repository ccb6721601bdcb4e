/** mTLS of both ports over real sockets: who gets in, who they are taken for, new files, and mistakes that are named. */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { Agent, request } from "node:https";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { pino } from "pino";
import { Registry } from "prom-client";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { ClientTls } from "../../src/sidecar/api/client-tls.js";
import { callSidecar, listNodes } from "../../src/sidecar/api/client.js";
import { beaconAttestEvent } from "../../src/sidecar/api/grpc-events.js";
import { peerCall } from "../../src/sidecar/api/peer-call.js";
import { Attestor } from "../../src/sidecar/attestor.js";
import { identity, NOW_MS, verifiedBeacon, verifiedState } from "../harness/records.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { HttpApi } from "../../src/sidecar/api/http-server.js";
import { ClusterServiceDefinition } from "../../src/sidecar/api/service-definition.js";
import { TlsFiles } from "../../src/sidecar/api/tls-files.js";
import { someWorkloads } from "../harness/some-workloads.js";
import { type Certificate, TestCa } from "../harness/certificates.js";
import { BEARER, someGuard } from "../harness/some-guard.js";

const OPS = "spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/ops";
const silent = pino({ level: "silent" });
let folder: string;
let ca: TestCa;
let other: TestCa;
let server: Certificate;
let ops: Certificate;
let stranger: Certificate;
const paths = () => ({ certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem"), clientCaFile: join(folder, "ca.pem") });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ibrl-mtls-"));
  ca = new TestCa(folder, "ours");
  other = new TestCa(folder, "theirs");
  server = ca.issue("DNS:node-1.example", "IP:127.0.0.1", "URI:spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/ibrl-beacon");
  ops = ca.issue(`URI:${OPS}`, "DNS:ops.example");
  stranger = other.issue("DNS:ops.example");
});
afterAll(() => rmSync(folder, { recursive: true }));

function install(certificate: Certificate, clients: TestCa): void {
  copyFileSync(certificate.certFile, paths().certFile);
  copyFileSync(certificate.keyFile, paths().keyFile);
  copyFileSync(clients.caFile, paths().clientCaFile);
}

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function serve(options: { allowed?: string[]; plain?: boolean } = {}) {
  install(server, ca);
  const lines: Record<string, unknown>[] = [];
  const tls = new TlsFiles(paths(), pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) }));
  const common = {
    bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, logger: silent, reader: { list: async () => [] }, workloads: someWorkloads(),
    guard: someGuard({ allowed: options.allowed ?? [] }), ...(options.plain === true ? {} : { tls }),
  };
  const grpc = new GrpcApi(common);
  const http = new HttpApi({ ...common, registry: new Registry(), readiness: { status: () => ({ ready: true, consul: "connected", standalone: false }) } });
  const [{ port }, { port: httpPort }] = [await grpc.start(), await http.start()];
  ending.push(() => grpc.close(0), () => http.close(0));
  return { tls, lines, address: `127.0.0.1:${String(port)}`, port, httpPort, httpAddress: `127.0.0.1:${String(httpPort)}` };
}

const as = (certificate: Certificate, more: Partial<ClientTls> = {}): ClientTls => ({ ca: ca.ca, cert: certificate.cert, key: certificate.key, ...more });
const list = (address: string, tls?: ClientTls) => listNodes({ address, tls, keys: new KeyAdmission(), timeoutMs: 20_000 });
const spawn = (address: string, tls: ClientTls, headers = {}) => callSidecar(ClusterServiceDefinition.Spawn, {}, { address, tls, headers, timeoutMs: 20_000 });

describe("a peer that is asked before work is sent to its node", () => {
  const state = verifiedState({ node: "node-1" }, identity(1));
  const attestor = (by: number) => new Attestor({ sealed: () => ({ beacon: verifiedBeacon({ node: "node-1" }, identity(by)), state: verifiedState({ node: "node-1" }, identity(by)) }), identity: identity(by), clock: { nowMs: () => NOW_MS, monoMs: () => 0 }, onSigned: () => {} });
  const asking = (certificate: Certificate, authority = ca) => peerCall({ tls: () => ({ ca: authority.ca, cert: certificate.cert, key: certificate.key }), keys: new KeyAdmission(), clock: { nowMs: () => NOW_MS } });
  async function peer(by: number): Promise<{ host: string; port: number }> {
    install(server, ca);
    const grpc = new GrpcApi({
      bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, logger: silent, reader: { list: async () => [] }, workloads: someWorkloads(), guard: someGuard(),
      tls: new TlsFiles(paths(), silent), events: new Map([beaconAttestEvent(attestor(by))]),
    });
    ending.push(() => grpc.close(0));
    return { host: "127.0.0.1", port: (await grpc.start()).port };
  }
  const { signal } = new AbortController();

  test("answers by the key of its state, over a fresh nonce: nothing against it", async () => {
    expect(await asking(ops)(await peer(1), state, signal)).toBeUndefined();
  });

  test("another key answers in its place: said", async () => {
    expect(await asking(ops)(await peer(2), state, signal)).toMatch(/is not the sidecar that signed its state$/);
  });

  test("nobody listens, or whoever does is silent: said, within the second", async () => {
    const held: Socket[] = [];
    const mute = createServer((socket) => void held.push(socket)).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const { port } = mute.address() as AddressInfo;
    expect(await asking(ops)({ host: "127.0.0.1", port }, state, signal)).toMatch(/does not answer/);
    for (const socket of held) socket.destroy();
    mute.close();
    await once(mute, "close");
    expect(await asking(ops)({ host: "127.0.0.1", port }, state, signal)).toMatch(/does not answer/);
  });

  test("certificates that do not fit each other say nothing of the peer", async () => {
    expect(await asking(stranger)(await peer(1), state, signal)).toBeUndefined();
    expect(await asking(ops, other)(await peer(1), state, signal)).toBeUndefined();
  });
});

function https(port: number, certificate: Certificate | undefined, path: string, options: { method?: string; agent?: Agent; headers?: Record<string, string> } = {}): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, ca: ca.ca, ...(certificate && { cert: certificate.cert, key: certificate.key }), agent: false, ...options }, (answer) => {
      let body = "";
      answer.on("data", (chunk: Buffer) => (body += chunk.toString()));
      answer.on("end", () => resolve({ status: answer.statusCode, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** SHA-256 of the certificate that a new connection is shown. */
const shownBy = (port: number) =>
  new Promise<string>((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, cert: ops.cert, key: ops.key }, () => {
      resolve(socket.getPeerCertificate().raw.toString("base64"));
      socket.destroy();
    });
    socket.on("error", reject);
  });

describe("gRPC", () => {
  test("a client of the CA is let in, by address, by DNS name and by SPIFFE URI of the server", async () => {
    const { address } = await serve();
    expect(await list(address, as(ops))).toEqual([]);
    expect(await list(address, as(ops, { serverName: "node-1.example" }))).toEqual([]);
    expect(await list(address, as(ops, { serverName: "spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/ibrl-beacon" }))).toEqual([]);
  });

  test("a server of another name is not spoken to", async () => {
    const { address } = await serve();
    await expect(list(address, as(ops, { serverName: "node-2.example" }))).rejects.toMatchObject({ code: "tls", message: expect.stringContaining("node-2.example") as string });
    await expect(list(address, as(ops, { serverName: "spiffe://11111111-2222.consul/ns/default/dc/dc1/svc/web" }))).rejects.toMatchObject({ code: "tls", message: expect.stringContaining("svc/web") as string });
    await expect(list(address, { ...as(ops), ca: other.ca })).rejects.toMatchObject({ code: "tls" });
  });

  test("without a certificate, and with one of another CA, nobody is let in", async () => {
    const { address } = await serve();
    await expect(list(address, { ca: ca.ca })).rejects.toMatchObject({ name: "ApiError", code: "tls" });
    await expect(list(address, as(stranger))).rejects.toMatchObject({ name: "ApiError", code: "tls" });
    expect(await list(address, as(ops))).toEqual([]);
  });

  test("a certificate is a caller's identity: what is asked for is looked at", async () => {
    const { address } = await serve();
    await expect(spawn(address, as(ops))).rejects.toMatchObject({ code: "invalid" });
  });

  test("--tls-allow narrows it; another proof still counts", async () => {
    const { address } = await serve({ allowed: ["web.example"] });
    await expect(spawn(address, as(ops))).rejects.toMatchObject({ code: "denied", message: expect.stringContaining(OPS) as string });
    await expect(spawn(address, as(ops), { authorization: BEARER.Authorization })).rejects.toMatchObject({ code: "invalid" });
    const listed = await serve({ allowed: [OPS] });
    await expect(spawn(listed.address, as(ops))).rejects.toMatchObject({ code: "invalid" });
  });
});

describe("HTTP", () => {
  test("the same: a certificate of the CA, or nothing", async () => {
    const { httpPort } = await serve();
    expect(await https(httpPort, ops, "/healthz")).toMatchObject({ status: 200 });
    await expect(https(httpPort, undefined, "/healthz")).rejects.toThrow();
    await expect(https(httpPort, stranger, "/healthz")).rejects.toThrow();
  });

  test("a certificate is a caller's identity, within --tls-allow", async () => {
    const post = { method: "POST", headers: { "Content-Type": "application/json" } };
    expect(await https((await serve()).httpPort, ops, "/spawn", post)).toMatchObject({ status: 400 });
    expect(await https((await serve({ allowed: ["web.example"] })).httpPort, ops, "/spawn", post)).toMatchObject({ status: 403, body: expect.stringContaining(OPS) as string });
  });
});

describe("new files", () => {
  test("are taken up for new connections; those that stand go on", async () => {
    const { tls, lines, httpPort, port } = await serve();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    ending.push(() => agent.destroy());
    expect(await https(httpPort, ops, "/healthz", { agent })).toMatchObject({ status: 200 });
    const standing = connectTls({ host: "127.0.0.1", port, ca: ca.ca, cert: ops.cert, key: ops.key, ALPNProtocols: ["h2"] });
    await new Promise((resolve) => standing.once("data", resolve)); // the server's SETTINGS: let in
    let closed = false;
    standing.on("close", () => (closed = true)).on("error", () => {});
    ending.push(() => standing.destroy());

    const renewed = ca.issue("IP:127.0.0.1");
    const before = await shownBy(httpPort);
    install(renewed, ca);
    tls.look();
    const [http, grpc] = [await shownBy(httpPort), await shownBy(port)];
    expect(http).not.toBe(before);
    expect(grpc).toBe(http);
    expect(lines.map(({ msg }) => msg)).toEqual(["serving mTLS", "new TLS files are in use for new connections"]);

    let connections = 0;
    agent.on("free", () => (connections += 1));
    const socketsBefore = Object.values(agent.freeSockets).flat()[0];
    expect(await https(httpPort, ops, "/healthz", { agent })).toMatchObject({ status: 200 });
    expect(Object.values(agent.freeSockets).flat()[0] ?? Object.values(agent.sockets).flat()[0]).toBe(socketsBefore);
    expect(connections).toBeLessThanOrEqual(1);
    // It answers still: a PING comes back (RFC 9113, 6.7).
    standing.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
    await new Promise((resolve) => standing.once("data", resolve));
    expect(closed).toBe(false);
  });

  test("a new client CA lets its clients in and the old one's no longer", async () => {
    const { tls, address } = await serve();
    install(server, other);
    tls.look();
    expect(await list(address, as(stranger))).toEqual([]);
    await expect(list(address, as(ops))).rejects.toMatchObject({ code: "tls" });
  });

  test.each<[string, () => void, RegExp]>([
    ["another certificate's key", () => copyFileSync(ops.keyFile, paths().keyFile), /--tls-key-file.*is not the key of/],
    ["half a certificate", () => writeFileSync(paths().certFile, server.cert.subarray(0, 200)), /--tls-cert-file.*holds no/],
    ["no certificate", () => writeFileSync(paths().clientCaFile, "-----BEGIN CERTIFICATE-----\n"), /--tls-client-ca-file.*holds no usable/],
    ["nothing", () => rmSync(paths().keyFile), /--tls-key-file.*cannot be read \(ENOENT\)/],
  ])("%s: the ones before stay, it is said once, and the next good ones are taken", async (_, spoil, reason) => {
    const { tls, lines, address, httpPort } = await serve();
    spoil();
    tls.look();
    expect(lines).toHaveLength(1); // a set that is being written is not said
    tls.look();
    tls.look();
    expect(lines.slice(1)).toEqual([expect.objectContaining({ level: 50, msg: "new TLS files cannot be used: the ones before stay in use", reason: expect.stringMatching(reason) as string })]);
    expect(await list(address, as(ops))).toEqual([]);
    const before = await shownBy(httpPort);
    install(ca.issue("IP:127.0.0.1"), ca);
    tls.look();
    expect(await shownBy(httpPort)).not.toBe(before);
    expect(lines).toHaveLength(3);
  });

  test("files that cannot be used at the start are named", () => {
    install(server, ca);
    rmSync(paths().clientCaFile);
    expect(() => new TlsFiles(paths(), silent)).toThrow(expect.objectContaining({ name: "SettingsError", where: "--tls-client-ca-file" }));
  });
});

describe("a mistake is named", () => {
  test("the HTTP port in place of the gRPC port", async () => {
    const { httpAddress } = await serve({ plain: true });
    await expect(list(httpAddress)).rejects.toMatchObject({ code: "protocol", message: expect.stringMatching(/HTTP\/1\.1.*HTTP port.*not a gRPC port/) as string });
    await expect(list(httpAddress, as(ops))).rejects.toMatchObject({ code: "protocol" });
  });

  test("plain text to a port that speaks TLS, and the other way round", async () => {
    const [secured, plain] = [await serve(), await serve({ plain: true })];
    await expect(list(secured.address)).rejects.toMatchObject({ code: "tls", message: expect.stringContaining("called in plain text") as string });
    for (const tls of [undefined, as(ops)]) {
      await expect(list(secured.httpAddress, tls)).rejects.toMatchObject({ code: "protocol", message: expect.stringContaining("HTTP/1.1 over TLS") as string });
    }
    await expect(list(plain.address, as(ops))).rejects.toMatchObject({ code: "tls", message: expect.stringContaining("does not speak TLS") as string });
  });
});
