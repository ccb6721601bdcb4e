/**
 * The relay's thread. Timers of Node are good to a millisecond, so close to the next release the loop
 * spins (over setImmediate, so that packets are still read). It spins briefly, because a thread that
 * spins takes the processor from what is measured; a release that is late is recorded as it was.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { timestampDifferenceNs } from "../../src/sidecar/probe/ntp-time.js";
import { seededRandom } from "../../src/sidecar/probe/seeded-random.js";
import { raiseThreadPriority } from "../../src/sidecar/probe/thread-priority.js";
import { DirectionFates } from "./network-model.js";
import type { RelayedPacket, RelayMessage, RelaySettings } from "./udp-relay.js";

const SPIN_NS = 500_000n;
raiseThreadPriority();
const settings = workerData as RelaySettings;
const port = parentPort;
if (port === null) throw new Error("this module runs as a worker");

interface Release {
  dueNs: bigint;
  record: RelayedPacket;
  send(): void;
}

const packets: RelayedPacket[] = [];
const queue: Release[] = [];
let spinning = false;
const fates = {
  forward: new DirectionFates(settings.forward, seededRandom(settings.seed)),
  backward: new DirectionFates(settings.backward, seededRandom(settings.seed + 1)),
};
/** When the last packet that keeps its place leaves: the others do not overtake it by jitter alone. */
const lastDueNs = { forward: 0n, backward: 0n };

function relay(packet: Pick<RelayedPacket, "direction" | "sequence" | "residenceUs">, arrivedNs: bigint, send: () => void): void {
  const { direction } = packet;
  const fate = fates[direction].next();
  const record = { ...packet, lost: fate.lost, reordered: fate.reordered, arrivedUs: Number(arrivedNs) / 1000, leftUs: [] };
  packets.push(record);
  for (const holdMs of fate.holdMs) {
    let dueNs = arrivedNs + BigInt(Math.round(holdMs * 1e6));
    if (!fate.reordered && dueNs < lastDueNs[direction]) dueNs = lastDueNs[direction];
    if (!fate.reordered) lastDueNs[direction] = dueNs;
    queue.push({ dueNs, record, send });
  }
  queue.sort((a, b) => Number(a.dueNs - b.dueNs));
  if (!spinning) run();
}

function run(): void {
  spinning = false;
  for (;;) {
    const next = queue[0];
    if (next === undefined) return;
    const nowNs = process.hrtime.bigint();
    if (next.dueNs <= nowNs) {
      queue.shift();
      next.record.leftUs.push(Number(process.hrtime.bigint()) / 1000);
      next.send();
    } else if (next.dueNs - nowNs <= SPIN_NS) {
      spinning = true;
      setImmediate(run);
      return;
    } else {
      setTimeout(() => !spinning && run(), Number((next.dueNs - nowNs - SPIN_NS) / 1_000_000n));
      return;
    }
  }
}

const isV6 = settings.target.address.includes(":");
const open = async (): Promise<Socket> => {
  const socket = createSocket({ type: isV6 ? "udp6" : "udp4", lookup: (host, _options, done) => done(null, host, isV6 ? 6 : 4) });
  const listening = once(socket, "listening");
  socket.bind(0, isV6 ? "::1" : "127.0.0.1");
  await listening;
  return socket;
};
const [front, back] = [await open(), await open()];
let client: { address: string; port: number } | undefined;
front.on("message", (bytes, from) => {
  const arrivedNs = process.hrtime.bigint();
  client = { address: from.address, port: from.port };
  relay({ direction: "forward", sequence: bytes.readUInt32BE(0), residenceUs: 0 }, arrivedNs, () => {
    back.send(bytes, settings.target.port, settings.target.address);
  });
});
back.on("message", (bytes) => {
  const arrivedNs = process.hrtime.bigint();
  const sequence = bytes.readUInt32BE(settings.authenticated ? 48 : 24);
  const [timestamp, receiveTimestamp] = settings.authenticated ? [16, 32] : [4, 16];
  const residenceNs = timestampDifferenceNs(bytes.readBigUInt64BE(timestamp), bytes.readBigUInt64BE(receiveTimestamp), "ntp");
  relay({ direction: "backward", sequence, residenceUs: Number(residenceNs) / 1000 }, arrivedNs, () => {
    if (client !== undefined) front.send(bytes, client.port, client.address);
  });
});

const post = (message: RelayMessage): void => port.postMessage(message);
port.on("message", () => {
  front.close();
  back.close();
  queue.length = 0;
  post({ type: "truth", packets });
  port.close();
});
post({ type: "ready", endpoint: { address: front.address().address, port: front.address().port } });
