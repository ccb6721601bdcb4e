/**
 * Interoperation with test/harness/stamp-peer.c, which was written from the RFC and shares no code:
 * our sender to its reflector and its sender to our reflector. Needs a C compiler (`cc`).
 */
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { jest } from "@jest/globals";
import { ProberBench } from "../harness/prober-bench.js";

jest.setTimeout(60_000);

const compiler = spawnSync("cc", ["--version"]).status === 0;
const folder = mkdtempSync(join(tmpdir(), "stamp-peer-"));
const program = join(folder, "stamp-peer");
const keyHex = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
const key = Buffer.from(keyHex, "hex");

beforeAll(() => {
  if (compiler) execFileSync("cc", ["-O2", "-Wall", "-Werror", "-o", program, join(process.cwd(), "test/harness/stamp-peer.c")]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const modes: [string, string, boolean][] = [
  ["unauthenticated over IPv4", "127.0.0.1", false], ["authenticated over IPv4", "127.0.0.1", true],
  ["unauthenticated over IPv6", "::1", false], ["authenticated over IPv6", "::1", true],
];
const describePeer = compiler ? describe : describe.skip;

describePeer("a STAMP peer written in C (needs cc)", () => {
  test.each(modes)("our sender measures its reflector: %s", async (_name, address, authenticated) => {
    const peer = spawn(program, ["reflect", address, "0", ...(authenticated ? [keyHex] : [])], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(peer.stdout, "data")) as [Buffer];
    const bench = new ProberBench({ packetBytes: 200 });
    await bench.prober.start();
    const target = { id: "c", address, port: Number(line.toString()), reflector: "stateful" as const };
    bench.prober.setPeers({ targets: [{ ...target, ...(authenticated ? { key } : {}) }], senders: [] });
    await bench.untilCounted("c", 30);
    await bench.prober.stop();
    peer.kill();
    const report = bench.lastReport;
    expect(report?.outgoing[0]?.summary).toMatchObject({ lost: 0, lossRatio: 0 });
    expect(report?.outgoing[0]?.summary.rtt?.minUs).toBeGreaterThan(0);
    expect(Object.values(report?.sender.refused ?? { none: 1 }).every((count) => count === 0)).toBe(true);
  });

  test.each(modes)("its sender is answered by our reflector: %s", async (_name, address, authenticated) => {
    const bench = new ProberBench({ listen: [{ address, port: 0 }] });
    const [endpoint] = await bench.prober.start();
    bench.prober.setPeers({ targets: [], senders: [{ id: "c", address, stateful: true, ...(authenticated ? { key } : {}) }] });
    const args = ["send", address, String(endpoint?.port), "30", ...(authenticated ? [keyHex] : [])];
    const { stdout } = await promisify(execFile)(program, args);
    await bench.prober.stop();
    const lines = stdout.trim().split("\n").map((text) => text.split(" ").map(Number));
    expect(lines.map(([sequence, reflectorSequence]) => [sequence, reflectorSequence])).toEqual(Array.from({ length: 30 }, (_, index) => [index, index]));
    for (const [, , rttNs = 0, residenceNs = 0] of lines) {
      expect(residenceNs).toBeGreaterThan(0);
      expect(rttNs).toBeGreaterThan(0);
      expect(rttNs).toBeLessThan(2e9);
    }
    expect(bench.lastReport?.reflector).toMatchObject({ answered: 30 });
  });
});
