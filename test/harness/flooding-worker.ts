/**
 * Sends packets to one place as fast as the kernel takes them, from an address of its own, and tells how many it sent
 * and how many came back. Bounded in number and time, whichever comes first.
 */
import { createSocket } from "node:dgram";
import { parentPort, workerData } from "node:worker_threads";
import type { ProbeEndpoint } from "../../src/sidecar/probe/probe-settings.js";

export interface Flood {
  from: string;
  to: ProbeEndpoint;
  /** In turn. */
  packets: Uint8Array[];
  mostPackets: number;
  mostMs: number;
}

export interface FloodResult {
  sent: number;
  answers: number;
}

/** Handed to the kernel before the loop may turn and answers may be read. */
const BATCH = 64;

const { from, to, packets, mostPackets, mostMs } = workerData as Flood;
const socket = createSocket({ type: "udp4", lookup: (host, _options, done) => done(null, host, 4) });
// Look-up is at once, so "listening" may be over before anyone could wait for it.
await new Promise<void>((resolve) => socket.bind(0, from, resolve));
let [offered, sent, answers] = [0, 0, 0];
socket.on("message", () => (answers += 1));
const endMs = performance.now() + mostMs;
while (offered < mostPackets && performance.now() < endMs) {
  const batch = Array.from({ length: Math.min(BATCH, mostPackets - offered) }, () => {
    const packet = packets[offered++ % packets.length] as Uint8Array;
    return new Promise<void>((resolve) => {
      socket.send(packet, to.port, to.address, (error) => {
        if (error === null) sent += 1;
        resolve();
      });
    });
  });
  await Promise.all(batch);
}
parentPort?.postMessage({ type: "sent", sent });
// Answers that are on their way are counted until the test, having drained the reflector, asks.
parentPort?.once("message", () => {
  setImmediate(() => {
    parentPort?.postMessage({ type: "result", sent, answers });
    socket.close();
  });
});
