/**
 * Interoperation with two other implementations of the packets: Scapy's (test/harness/scapy-peer.py), which is nobody's
 * here and knows the unauthenticated mode, and test/harness/stamp-peer.c, ours, written from the RFC and sharing no code,
 * for both modes. Our sender to their reflector and their sender to our reflector.
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

/** How a peer is run: `mode`, address and port, then the count of a sender, and the key where one is used. */
interface Peer {
  run: (args: readonly string[]) => readonly [command: string, args: readonly string[]];
  present: boolean;
  modes: [name: string, address: string, authenticated: boolean][];
  /** 0: as short as the mode allows. */
  packetBytes: number;
}

const succeeds = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;
const folder = mkdtempSync(join(tmpdir(), "stamp-peer-"));
const program = join(folder, "stamp-peer");
const keyHex = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
const key = Buffer.from(keyHex, "hex");
const compiler = succeeds("cc", "--version");
// Debian puts Scapy beside its own Python, which may not be the first in the path.
const python = ["/usr/bin/python3", "python3"].find((each) => succeeds(each, "-c", "import scapy.contrib.stamp"));

beforeAll(() => {
  if (compiler) execFileSync("cc", ["-O2", "-Wall", "-Werror", "-o", program, join(process.cwd(), "test/harness/stamp-peer.c")]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const open: Peer["modes"] = [["unauthenticated over IPv4", "127.0.0.1", false], ["unauthenticated over IPv6", "::1", false]];
const peers: Record<string, Peer> = {
  "Scapy (needs python3-scapy)": {
    run: (args) => [python ?? "", [join(process.cwd(), "test/harness/scapy-peer.py"), ...args]], present: python !== undefined, modes: open, packetBytes: 0,
  },
  "a STAMP peer written in C (needs cc)": {
    run: (args) => [program, args], present: compiler, packetBytes: 200,
    modes: [...open, ["authenticated over IPv4", "127.0.0.1", true], ["authenticated over IPv6", "::1", true]],
  },
};

describe.each(Object.entries(peers))("%s", (_name, { run, present, modes, packetBytes }) => {
  const each = present ? test.each(modes) : test.skip.each(modes);

  each("our sender measures its reflector: %s", async (_name, address, authenticated) => {
    const peer = spawn(...run(["reflect", address, "0", ...(authenticated ? [keyHex] : [])]), { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(peer.stdout, "data")) as [Buffer];
    const bench = new ProberBench({ packetBytes });
    await bench.prober.start();
    const target = { id: "peer", address, port: Number(line.toString()), reflector: "stateful" as const };
    bench.prober.setPeers({ targets: [{ ...target, ...(authenticated ? { key } : {}) }], senders: [] });
    await bench.untilCounted("peer", 30);
    await bench.prober.stop();
    peer.kill();
    const report = bench.lastReport;
    expect(report?.outgoing[0]?.summary).toMatchObject({ lost: 0, lossRatio: 0 });
    expect(report?.outgoing[0]?.summary.rtt?.minUs).toBeGreaterThan(0);
    expect(Object.values(report?.sender.refused ?? { none: 1 }).every((count) => count === 0)).toBe(true);
  });

  each("its sender is answered by our reflector: %s", async (_name, address, authenticated) => {
    const bench = new ProberBench({ listen: [{ address, port: 0 }] });
    const [endpoint] = await bench.prober.start();
    bench.prober.setPeers({ targets: [], senders: [{ id: "peer", address, stateful: true, ...(authenticated ? { key } : {}) }] });
    const args = run(["send", address, String(endpoint?.port), "30", ...(authenticated ? [keyHex] : [])]);
    const { stdout } = await promisify(execFile)(...args);
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
