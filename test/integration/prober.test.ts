import { jest } from "@jest/globals";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { joinHalves, type LinkHalf } from "../../src/beacon/link-statistics-join.js";
import { errorEstimateOf } from "../../src/sidecar/probe/error-estimate.js";
import { agreeProbeKeys, generateProbeKeys } from "../../src/sidecar/probe/probe-keys.js";
import type { ProbePeers } from "../../src/sidecar/probe/prober-messages.js";
import type { KnownSender, ProbeTarget } from "../../src/sidecar/probe/probe-settings.js";
import { encodeSenderPacket } from "../../src/sidecar/probe/stamp-packet.js";
import { ManualProbeClock } from "../harness/probe-clock.js";
import { ProberBench } from "../harness/prober-bench.js";

jest.setTimeout(30_000);

const running: ProberBench[] = [];
const bench = (...options: ConstructorParameters<typeof ProberBench>): ProberBench => {
  const made = new ProberBench(...options);
  running.push(made);
  return made;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ prober }) => prober.stop()));
});

interface Pairing { address: string; keys?: boolean }

/** Two probers that probe each other. */
async function pair({ address, keys = false }: Pairing): Promise<[ProberBench, ProberBench]> {
  const benches: [ProberBench, ProberBench] = [
    bench({ listen: [{ address, port: 0 }], seed: 1 }), bench({ listen: [{ address, port: 0 }], seed: 2 }),
  ];
  const own = [generateProbeKeys(), generateProbeKeys()] as const;
  const ports = await Promise.all(benches.map(async ({ prober }) => (await prober.start())[0]?.port ?? 0));
  const peers = benches.map((_bench, index): ProbePeers => {
    const agreed = agreeProbeKeys(own[index === 0 ? 0 : 1], own[index === 0 ? 1 : 0].publicKey);
    if (!agreed.ok) throw new Error(agreed.reason);
    const target: ProbeTarget = { id: "peer", address, port: ports[1 - index] ?? 0, reflector: "stateful", ...(keys ? { key: agreed.keys.outgoing } : {}) };
    const sender: KnownSender = { id: "peer", address, stateful: true, ...(keys ? { key: agreed.keys.incoming } : {}) };
    return { targets: [target], senders: [sender] };
  });
  // A probe that comes before its sender is known would be lost, so both ends know each other first.
  benches.forEach(({ prober }, index) => prober.setPeers({ targets: [], senders: peers[index]?.senders ?? [] }));
  await Promise.all(benches.map((end) => end.nextReport().then(() => end.nextReport())));
  benches.forEach(({ prober }, index) => prober.setPeers(peers[index] ?? { targets: [], senders: [] }));
  return benches;
}

const halfOf = ({ lastReport }: ProberBench): LinkHalf => {
  const [outgoing] = lastReport?.outgoing ?? [];
  const [incoming] = lastReport?.incoming ?? [];
  return {
    startMs: outgoing?.summary.startMs ?? 0,
    endMs: outgoing?.summary.endMs ?? 0,
    ...(outgoing?.summary.rtt === undefined ? {} : { rttP50Us: outgoing.summary.rtt.p50Us }),
    ...(outgoing?.exchanges === undefined ? {} : { outgoing: outgoing.exchanges }),
    ...(incoming?.exchanges === undefined ? {} : { incoming: incoming.exchanges }),
  };
};

test.each<Pairing>([
  { address: "127.0.0.1" }, { address: "127.0.0.1", keys: true }, { address: "::1" }, { address: "::1", keys: true },
])("two probers measure each other and their halves agree: %o", async (pairing) => {
  const [a, b] = await pair(pairing);
  await Promise.all([a, b].map((end) => end.untilCounted("peer", 100)));
  await Promise.all([a.prober.stop(), b.prober.stop()]);
  const link = joinHalves(halfOf(a), halfOf(b));
  expect(link.state).toBe("agreed");
  expect(link.fromA?.compared).toBeGreaterThanOrEqual(32);
  expect(link.fromB?.compared).toBeGreaterThanOrEqual(32);
  for (const end of [a, b]) {
    const summary = end.lastReport?.outgoing[0]?.summary;
    expect(end.lastReport?.sender.refused).toEqual({ short: 0, long: 0, "bad-hmac": 0, malformed: 0, unmatched: 0, "bad-residence": 0, "unknown-peer": 0 });
    expect(end.lastReport?.reflector.dropped).toEqual({ short: 0, long: 0, "bad-hmac": 0, malformed: 0, "unknown-peer": 0, replay: 0, rate: 0 });
    expect(end.samples.filter(({ outcome }) => outcome === "lost")).toEqual([]);
    expect(summary).toMatchObject({ lost: 0, lossRatio: 0, duplicates: 0, reordered: 0 });
    expect(summary?.rtt?.minUs).toBeGreaterThan(0);
  }
});

test("a peer that does not answer is measured as loss, and has no round trip", async () => {
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  const a = bench({ timeoutMs: 50 });
  await a.prober.start();
  a.prober.setPeers({ targets: [{ id: "s", address: "127.0.0.1", port: silent.address().port, reflector: "stateful" }], senders: [] });
  await a.untilCounted("s", 5);
  await a.prober.stop();
  silent.close();
  const summary = a.lastReport?.outgoing[0]?.summary;
  expect(summary?.lossRatio).toBe(1);
  expect(summary?.rtt).toBeUndefined();
});

test("a flood over the wire from a stranger is dropped while a known peer is answered", async () => {
  const [a, b] = await pair({ address: "127.0.0.1", keys: true });
  await a.untilCounted("peer", 20);
  // 127.0.0.2 is loopback too, and no peer.
  const stranger = createSocket("udp4").bind(0, "127.0.0.2");
  await once(stranger, "listening");
  const port = b.prober.endpoints[0]?.port ?? 0;
  const packet = encodeSenderPacket({ sequence: 1, timestamp: 1n, error: errorEstimateOf(1e-4, false), ssid: 1 }, Buffer.alloc(32));
  let answers = 0;
  stranger.on("message", () => (answers += 1));
  for (let sent = 0; sent < 20_000; sent += 100) {
    const round = Array.from({ length: 100 }, () => new Promise<void>((resolve) => stranger.send(packet, port, "127.0.0.1", () => resolve())));
    await Promise.all(round);
  }
  await a.untilCounted("peer", a.counted("peer").length + 20);
  await b.until(() => (b.lastReport?.reflector.dropped["unknown-peer"] ?? 0) > 1000);
  stranger.close();
  expect(answers).toBe(0);
  expect(a.counted("peer").at(-1)?.outcome).not.toBe("lost");
});

test("changed settings and peers take effect without a restart", async () => {
  const [a, b] = await pair({ address: "127.0.0.1" });
  await a.untilCounted("peer", 10);
  b.prober.setPeers({ targets: [], senders: [] });
  await b.until(() => (b.lastReport?.reflector.dropped["unknown-peer"] ?? 0) > 0);
  await a.until(() => a.counted("peer").at(-1)?.outcome === "lost");
  const before = a.samples.length;
  b.prober.setPeers({ targets: [], senders: [{ id: "peer", address: "127.0.0.1", stateful: true }] });
  await a.until(() => a.samples.slice(before).some(({ outcome }) => outcome === "received"));
  expect([a.crashes, b.crashes]).toEqual([[], []]);
});

test("an address that is taken is named when the prober starts, and nothing is left running", async () => {
  const taken = createSocket("udp4").bind(0, "127.0.0.1");
  await once(taken, "listening");
  const a = bench({ listen: [{ address: "127.0.0.1", port: taken.address().port }] });
  await expect(a.prober.start()).rejects.toMatchObject({ name: "ProberError", code: "EADDRINUSE" });
  taken.close();
  expect(a.crashes).toEqual([]);
});

test("a worker that dies is started again, each time after a longer wait, and counted", async () => {
  const clock = new ManualProbeClock();
  const waits: number[] = [];
  const a = bench({}, {
    workerUrl: new URL("../harness/crashing-worker.js", import.meta.url),
    timers: { after: (delayMs, run) => (waits.push(delayMs), clock.after(0, run)) },
  });
  await a.prober.start();
  for (let crash = 1; crash <= 3; crash += 1) {
    while (waits.length < crash) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1);
    expect(a.prober.respawns).toBe(crash);
  }
  expect(waits.slice(0, 3)).toEqual([500, 1000, 2000]);
});
