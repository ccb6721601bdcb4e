/**
 * A reflector under a flood over real sockets, from a stranger and from behind a known peer's own address: nobody gets
 * an answer who should not, what arrives is counted, nothing is kept, and the known peer is served afterwards.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { jest } from "@jest/globals";
import { errorEstimateOf } from "../../src/sidecar/probe/error-estimate.js";
import { ProbeEngine } from "../../src/sidecar/probe/probe-engine.js";
import type { ProbeEndpoint } from "../../src/sidecar/probe/probe-settings.js";
import { encodeSenderPacket } from "../../src/sidecar/probe/stamp-packet.js";
import type { Flood, FloodResult } from "../harness/flooding-worker.js";
import { heldBytes } from "../harness/heap.js";
import { FAST_PROBING, ProberBench } from "../harness/prober-bench.js";

jest.setTimeout(60_000);

const KNOWN = "127.0.0.2";
const STRANGER = "127.0.0.77";
const key = Buffer.alloc(32, 1);
const probe = { sequence: 1, timestamp: 1n, error: errorEstimateOf(1e-4, false), ssid: 1 };
const authentic = encodeSenderPacket(probe, key);
const forged = encodeSenderPacket(probe, Buffer.alloc(32, 2));
/** Right in every byte, under another key, without a key, too short, empty, too long. */
const packets = [authentic, forged, encodeSenderPacket(probe), authentic.subarray(0, 43), Buffer.alloc(0), Buffer.alloc(1_473, 1)];

interface Case { from: string; packets: Buffer[]; reasons: string[] }

test.each<Case>([
  { from: STRANGER, packets, reasons: ["unknown-peer"] },
  // Behind the peer's address nothing is authentic but what the peer made. Beyond the work budget nothing is looked at.
  { from: KNOWN, packets: packets.slice(1), reasons: ["short", "long", "bad-hmac", "rate"] },
])("a flood from $from gets no answer, is counted and leaves nothing behind", async ({ from, packets: flood, reasons }) => {
  const reflector = new ProbeEngine(
    { ...FAST_PROBING, listen: [{ address: "127.0.0.1", port: 0 }], reflector: { ...FAST_PROBING.reflector, answersPerSecond: 200, burst: 200 } },
    { onSample: () => {}, onReport: () => {} },
  );
  const peer = new ProberBench({ source: { ipv4: KNOWN } });
  const [endpoint] = await reflector.start({ targets: [], senders: [{ id: "peer", address: KNOWN, key, stateful: true }] });
  const to = endpoint as ProbeEndpoint;
  await peer.prober.start();
  let attacker: Worker | undefined;
  try {
    peer.prober.setPeers({ targets: [{ id: "r", ...to, key, reflector: "stateful" }], senders: [] });
    await untilReceived(peer, 20);
    const heapBefore = heldBytes();
    const backlogBefore = backlogDrops();

    const workerData: Flood = { from, to, packets: flood, mostPackets: 300_000, mostMs: 3_000 };
    attacker = new Worker(new URL("../harness/flooding-worker.js", import.meta.url), { workerData });
    await once(attacker, "message");
    // The peer is answered again, so the queue before its answers was read: the flood has been seen through.
    await untilReceived(peer, 20);
    await peer.prober.stop();
    while ((socketAt(to.port)?.waitingBytes ?? 0) > 0) await nextTurn();
    await nextTurn();
    const result = once(attacker, "message") as Promise<[FloodResult]>;
    attacker.postMessage("finish");
    const [{ sent, answers }] = await result;

    const { answered, dropped } = reflector.report().reflector;
    const refused = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    expect(answers).toBe(0);
    expect(sent).toBeGreaterThan(1_000);
    expect(new Set(Object.entries(dropped).flatMap(([reason, count]) => (count > 0 ? [reason] : [])))).toEqual(new Set(reasons));
    expect(answered).toBeGreaterThanOrEqual(peer.counted("r").filter(({ outcome }) => outcome !== "lost").length);

    // What was sent was counted, but for what the kernel itself says that it threw away.
    const offered = sent + (peer.lastReport?.sender.sent ?? NaN);
    expect(answered + refused).toBeLessThanOrEqual(offered);
    const socket = socketAt(to.port);
    if (socket !== undefined) {
      expect(answered + refused).toBeLessThanOrEqual(offered - socket.drops);
      expect(answered + refused).toBeGreaterThanOrEqual(offered - socket.drops - (backlogDrops() - backlogBefore));
    }
    expect(reflector.report().incoming.map(({ id }) => id)).toEqual(["peer"]);
    // Some 100 bytes kept for each packet would be tens of megabytes.
    expect(heldBytes() - heapBefore).toBeLessThan(4_000_000);
  } finally {
    await attacker?.terminate();
    await peer.prober.stop();
    await reflector.stop();
  }
});

/** Waits for so many more answers to the known peer; the test's deadline ends it otherwise. */
async function untilReceived(bench: ProberBench, more: number): Promise<void> {
  const received = (): number => bench.samples.filter(({ outcome }) => outcome === "received").length;
  const wanted = received() + more;
  await bench.until(() => received() >= wanted);
}

/** What Linux knows of a UDP socket: bytes that wait to be read, packets that it had no room for. */
function socketAt(port: number): { waitingBytes: number; drops: number } | undefined {
  if (process.platform !== "linux") return undefined;
  const ending = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/udp", "utf8").trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/));
  const own = lines.find(([, local]) => local === `0100007F${ending}`);
  if (own === undefined) throw new Error("the reflector has no socket");
  return { waitingBytes: parseInt(own[4]?.split(":")[1] ?? "", 16), drops: Number(own.at(-1)) };
}

/** Packets of the whole machine that never came as far as a socket. */
function backlogDrops(): number {
  if (process.platform !== "linux") return 0;
  const lines = readFileSync("/proc/net/softnet_stat", "utf8").trim().split("\n");
  return lines.reduce((sum, line) => sum + parseInt(line.split(" ")[1] ?? "", 16), 0);
}
