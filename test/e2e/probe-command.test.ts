/** `hypercore probe` as a process, against a real reflector on loopback. */
import { once } from "node:events";
import { createSocket, type Socket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Ajv2020 } from "ajv/dist/2020.js";
import { ProbeEngine } from "../../src/sidecar/probe/probe-engine.js";
import { type KnownSender } from "../../src/sidecar/probe/probe-settings.js";
import { builtProject, runCli, startCli } from "../harness/built-cli.js";
import { FAST_PROBING } from "../harness/prober-bench.js";

const KEY = "0123456789abcdef";
const folder = mkdtempSync(join(tmpdir(), "probe-"));
const keyFile = (name: string, content: string): string => {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
};
const running: ProbeEngine[] = [];
const sockets: Socket[] = [];

/** Answers everybody on a port of its own; `senders` replaces that by known ones. */
async function reflector(address = "127.0.0.1", senders: KnownSender[] = []): Promise<string> {
  const engine = new ProbeEngine(
    { ...FAST_PROBING, listen: [{ address, port: 0 }], reflector: { ...FAST_PROBING.reflector, openAnswersPerSecond: senders.length === 0 ? 1_000 : 0 } },
    { onSample: () => {}, onReport: () => {} },
  );
  const [at] = await engine.start({ targets: [], senders });
  running.push(engine);
  return address.includes(":") ? `[${address}]:${String(at?.port)}` : `${address}:${String(at?.port)}`;
}

/** A UDP socket that does with each packet what it is told, or nothing. */
async function listener(answer: (bytes: Buffer) => Buffer | undefined = () => undefined): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, from) => {
    const reply = answer(bytes);
    if (reply !== undefined) socket.send(reply, from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  sockets.push(socket);
  return `127.0.0.1:${String(socket.address().port)}`;
}

beforeAll(() => void builtProject());
afterAll(async () => {
  await Promise.all(running.map((engine) => engine.stop()));
  for (const socket of sockets) socket.close();
  rmSync(folder, { recursive: true });
});

const probe = (...args: string[]) => runCli(["probe", ...args]);
const flat = (text: string): string => text.replace(/\s+(?:›\s+)?/g, " ");

test("lines as they come, then the summary; it ends by itself after -c probes", async () => {
  const { code, stdout, stderr } = await probe(await reflector(), "-c", "5", "-i", "20ms", "--size", "200");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [head, ...lines] = stdout.trimEnd().split("\n");
  expect(head).toMatch(/^PROBE 127\.0\.0\.1 port \d+ \(UDP, STAMP, unauthenticated\), 200 bytes$/);
  expect(lines.slice(0, 5).map((line) => line.split("  ")[0])).toEqual(["seq=0", "seq=1", "seq=2", "seq=3", "seq=4"]);
  expect(stdout).toContain("probes  5 sent, 5 received, 0.00% lost");
});

test("--json is a line for each probe and the summary as the last, all as the schema says", async () => {
  const { code, stdout, stderr } = await probe(await reflector(), "-c", "4", "-i", "0.02", "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const schema = JSON.parse(readFileSync(join(builtProject(), "schemas/probe.schema.json"), "utf8")) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  const documents = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as { type: string });
  for (const document of documents) {
    validate(document);
    expect(validate.errors).toBeNull();
  }
  expect(documents.map(({ type }) => type)).toEqual(["probe", "probe", "probe", "probe", "summary"]);
  expect(documents.at(-1)).toMatchObject({ answered: true, sent: 4, received: 4, lost: 0, target: { host: "127.0.0.1", authenticated: false, sizeBytes: 44 }, problem: null });
});

test("Ctrl-C ends it with the summary", async () => {
  const child = startCli(["probe", await reflector(), "-i", "20ms"]);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    lines.push(line);
    if (lines.length === 4) child.kill("SIGINT");
  }
  const code = child.exitCode ?? ((await once(child, "close")) as [number])[0];
  expect(code).toBe(0);
  expect(lines.some((line) => /^probes {2}\d+ sent/.test(line))).toBe(true);
});

test("authenticated: with the shared key it answers, with another one nothing does", async () => {
  const address = await reflector("127.0.0.1", [{ id: "cli", address: "127.0.0.1", key: Buffer.from(KEY), stateful: true }]);
  const right = await probe(address, "-c", "3", "-i", "20ms", "--key-file", keyFile("right", `${KEY}\n`));
  expect(right.stdout).toMatch(/authenticated\), 112 bytes/);
  expect(right).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("3 sent, 3 received") });
  const wrong = await probe(address, "-c", "2", "-i", "20ms", "-W", "100ms", "--key-file", keyFile("wrong", "another"));
  expect(wrong.code).toBe(1);
  expect(wrong.stdout).toContain("A reflector with another key, or with none, does not answer.");
  const unsigned = await probe(await listener((bytes) => Buffer.alloc(bytes.length, 1)), "-c", "1", "-W", "100ms", "--key-file", keyFile("right", KEY));
  expect(unsigned.code).toBe(1);
  expect(unsigned.stdout).toMatch(/\d answers? had an HMAC of another key, or none/);
});

const hasIpv6 = Object.values(networkInterfaces()).flat().some((at) => at?.address === "::1");
(hasIpv6 ? test : test.skip)("IPv6, by its address in brackets and by family", async () => {
  const address = await reflector("::1");
  expect(await probe(address, "-6", "-c", "2", "-i", "20ms")).toMatchObject({ code: 0, stdout: expect.stringContaining("2 sent, 2 received") });
  expect((await probe(address, "-4", "-c", "1")).stderr).toContain("::1 is an IPv6 address");
});

test("a reflector that does not know us is silent: exit 1, and why that may be", async () => {
  const address = await reflector("127.0.0.1", [{ id: "peer", address: "127.0.0.9", stateful: true }]);
  const { code, stdout } = await probe(address, "-c", "2", "-i", "20ms", "-W", "50ms");
  expect(code).toBe(1);
  expect(stdout).toContain("seq=0  no answer\nseq=1  no answer\n");
  expect(stdout).toContain("probes  2 sent, 0 received, 100.00% lost");
  expect(stdout).toContain("answers the known peers of its cluster only");
});

test("a port on which nothing listens says so, as text and as JSON", async () => {
  const address = await listener();
  await new Promise<void>((resolve) => void sockets.pop()?.close(() => resolve()));
  const { code, stdout } = await probe(address, "-c", "1", "-W", "200ms");
  expect(code).toBe(1);
  expect(stdout).toContain(`nothing listens on UDP port ${address.split(":")[1] ?? ""}`);
  const json = await probe(address, "-c", "1", "-W", "200ms", "--json");
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ answered: false, loss: { ratio: 1 }, rtt: null, problem: { code: "port-unreachable" } });
});

test("something that is no reflector is told from silence", async () => {
  const { code, stdout } = await probe(await listener((bytes) => bytes), "-c", "1", "-W", "100ms");
  expect(code).toBe(1);
  expect(stdout).toMatch(/no STAMP answers to these probes \((unmatched|malformed) \d+\)/);
});

test("a name without an address", async () => {
  const { code, stderr } = await probe("nowhere.invalid", "-c", "1");
  expect(code).toBe(1);
  expect(flat(stderr)).toMatch(/nowhere\.invalid cannot be resolved: (the name has no address|no name server answers)/);
  const json = await probe("nowhere.invalid", "-c", "1", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ schemaVersion: 1, error: { code: "unresolvable", exitCode: 1 } });
});

test.each([
  [[], "host"],
  [["host:99999"], "write HOST or HOST:PORT"],
  [["127.0.0.1", "-c", "0"], "count"],
  [["127.0.0.1", "-i", "soon"], '-i "soon"'],
  [["127.0.0.1", "-W", "1ms"], "from 10ms to 60s"],
  [["127.0.0.1", "--size", "43"], "at least 44 bytes"],
  [["127.0.0.1", "--size", "1473"], "size"],
  [["127.0.0.1", "-4", "-6"], "ipv6"],
  [["127.0.0.1", "--key-file", join(folder, "missing")], "ENOENT"],
])("bad usage %j: exit 2, named", async (args, named) => {
  const { code, stderr } = await probe(...args);
  expect(code).toBe(2);
  expect(flat(stderr)).toContain(named);
});
