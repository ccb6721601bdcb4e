import type { ProbeSample } from "../../src/beacon/link-statistics.js";
import { DEFAULT_PROBE_SETTINGS, type ProbeEndpoint, type ProbeTarget } from "../../src/sidecar/probe/probe-settings.js";
import { Reflector } from "../../src/sidecar/probe/reflector.js";
import { seededRandom } from "../../src/sidecar/probe/seeded-random.js";
import { SessionSender } from "../../src/sidecar/probe/session-sender.js";
import { decodeReflectorPacket, decodeSenderPacket, encodeReflectorPacket } from "../../src/sidecar/probe/stamp-packet.js";
import { ManualProbeClock } from "../harness/probe-clock.js";

interface Sent { bytes: Uint8Array; to: ProbeEndpoint; atMs: number }

/** A sender whose packets go to `sent` and whose answers the test gives by hand, from a real reflector. */
function bench(targets: ProbeTarget[], settings: Partial<typeof DEFAULT_PROBE_SETTINGS> = {}) {
  const clock = new ManualProbeClock();
  const sent: Sent[] = [];
  const samples: (ProbeSample & { id: string })[] = [];
  /** How long handing a packet to the kernel takes. */
  const sending = { ms: 0 };
  const sender = new SessionSender({ ...DEFAULT_PROBE_SETTINGS, ...settings }, {
    clock, timers: clock, random: seededRandom(1),
    send: (bytes, to) => {
      clock.block(sending.ms);
      sent.push({ bytes, to, atMs: Number(clock.monotonicNs()) / 1e6 });
      return true;
    },
    onSample: ({ id }, sample) => samples.push({ id, ...sample }),
  });
  const reflector = new Reflector({ ...DEFAULT_PROBE_SETTINGS.reflector, answersPerSecond: 1e6, burst: 1e6 }, clock);
  reflector.setSenders(targets.map(({ id, key }) => ({ id, address: "192.0.2.1", stateful: true, ...(key === undefined ? {} : { key }) })));
  sender.setTargets(targets);
  sender.start();
  return {
    clock, sent, samples, sender, sending,
    reply(packet: Sent): Uint8Array {
      const result = reflector.reflect(packet.bytes, { address: "192.0.2.1", port: 5000 }, clock.monotonicNs());
      if (!result.ok) throw new Error(result.reason);
      return result.reply;
    },
    receive(bytes: Uint8Array, from: ProbeEndpoint = { address: "192.0.2.9", port: 8862 }): void {
      sender.receive(bytes, from, clock.monotonicNs());
    },
  };
}

const peer: ProbeTarget = { id: "b", address: "192.0.2.9", port: 8862, reflector: "stateful" };
const last = <T>(list: T[]): T => {
  const item = list.at(-1);
  if (item === undefined) throw new Error("nothing there");
  return item;
};

test("the round trip leaves out what the reflector took", () => {
  const { clock, sent, samples, receive } = bench([peer], { spacingJitter: 0 });
  const probe = decodeSenderPacket(last(sent).bytes);
  if (!probe.ok) throw new Error(probe.reason);
  clock.advance(3);
  const receiveTimestamp = probe.packet.timestamp;
  const timestamp = receiveTimestamp + BigInt(Math.round(0.002 * 2 ** 32));
  receive(encodeReflectorPacket(
    { ...probe.packet, timestamp, receiveTimestamp, senderSequence: probe.packet.sequence, senderTimestamp: probe.packet.timestamp, senderError: probe.packet.error, senderTtl: 0 },
    last(sent).bytes,
  ));
  expect(samples).toEqual([{ id: "b", outcome: "received", sequence: 0, sentAtMs: expect.any(Number), reflectorSequence: 0, reordered: false, rttUs: expect.closeTo(1000, 2) }]);
});

test("a reflector that claims to have held a probe for longer than it was away gives no sample", () => {
  const { clock, sent, samples, sender, receive } = bench([peer]);
  clock.advance(110);
  const probe = decodeSenderPacket(last(sent).bytes);
  if (!probe.ok) throw new Error(probe.reason);
  clock.advance(1);
  for (const lie of [1n << 30n, -(1n << 20n)]) {
    receive(encodeReflectorPacket(
      { ...probe.packet, timestamp: probe.packet.timestamp + lie, receiveTimestamp: probe.packet.timestamp, senderSequence: 0, senderTimestamp: probe.packet.timestamp, senderError: probe.packet.error, senderTtl: 0 },
      last(sent).bytes,
    ));
  }
  expect(samples).toEqual([]);
  expect(sender.counters.refused["bad-residence"]).toBe(2);
});

test("one probe is in flight to a peer; an unanswered one is lost at its timeout", () => {
  const { clock, sent, samples, sender } = bench([peer], { timeoutMs: 3500 });
  clock.advance(3890);
  expect(sent).toHaveLength(1);
  expect(sender.counters.skipped).toBeGreaterThanOrEqual(2);
  expect(samples).toEqual([{ id: "b", outcome: "lost", sequence: 0, sentAtMs: expect.any(Number) }]);
  clock.advance(1000);
  expect(sent).toHaveLength(2);
});

test("late, duplicate and reordered answers are told apart", () => {
  const { clock, sent, samples, reply, receive } = bench([peer]);
  clock.advance(110);
  const first = reply(last(sent));
  clock.advance(1200);
  const second = reply(last(sent));
  receive(second);
  receive(second);
  receive(first);
  receive(first);
  expect(samples.map(({ outcome, sequence }) => [outcome, sequence])).toEqual([
    ["lost", 0], ["received", 1], ["duplicate", 1], ["late", 0], ["duplicate", 0],
  ]);
  expect(samples.map((sample) => "reordered" in sample && sample.reordered)).toEqual([false, false, false, true, true]);
});

test("answers from another place, another session or with another T1 are refused", () => {
  const { clock, sent, samples, sender, reply, receive } = bench([peer]);
  clock.advance(110);
  const answer = Buffer.from(reply(last(sent)));
  const changed = (offset: number): Buffer => {
    const copy = Buffer.from(answer);
    copy.writeUInt8(copy.readUInt8(offset) ^ 1, offset);
    return copy;
  };
  receive(answer, { address: "192.0.2.8", port: 8862 });
  receive(answer, { address: "192.0.2.9", port: 8863 });
  receive(changed(15));
  receive(changed(27));
  receive(changed(35));
  receive(answer.subarray(0, 43));
  receive(last(sent).bytes);
  expect(samples).toEqual([]);
  expect(sender.counters.refused).toMatchObject({ "unknown-peer": 2, unmatched: 4, short: 1 });
  receive(answer);
  expect(samples).toMatchObject([{ outcome: "received" }]);
});

test("an authenticated session takes no forged answer", () => {
  const key = Buffer.alloc(32, 3);
  const { clock, sent, samples, sender, reply, receive } = bench([{ ...peer, key }]);
  clock.advance(110);
  expect(last(sent).bytes).toHaveLength(112);
  const answer = Buffer.from(reply(last(sent)));
  const forged = Buffer.from(answer);
  forged.writeUInt8(forged.readUInt8(20) ^ 1, 20);
  receive(forged);
  expect(sender.counters.refused["bad-hmac"]).toBe(1);
  receive(answer);
  expect(samples).toMatchObject([{ outcome: "received" }]);
  expect(decodeReflectorPacket(answer, key).ok).toBe(true);
});

test("a reflector that knows no session identifiers is understood", () => {
  const { clock, sent, samples, reply, receive } = bench([peer]);
  clock.advance(110);
  const answer = Buffer.from(reply(last(sent)));
  answer.writeUInt16BE(0, 14);
  receive(answer);
  expect(samples).toMatchObject([{ outcome: "received" }]);
});

test("a sample taken while the thread was busy is discarded", () => {
  const { clock, sent, samples, reply, receive } = bench([peer]);
  clock.advance(110);
  const answer = reply(last(sent));
  clock.block(40);
  receive(answer);
  expect(samples).toMatchObject([{ outcome: "discarded", sequence: 0, reflectorSequence: 0 }]);
  clock.advance(1000);
  clock.advance(30);
  receive(reply(last(sent)));
  expect(last(samples)).toMatchObject({ outcome: "received", sequence: 1 });
});

test("an answer that waited while the thread slept through its timeout is discarded, not lost", () => {
  const { clock, sent, samples, reply, receive } = bench([peer]);
  clock.advance(110);
  const answer = reply(last(sent));
  clock.block(5000);
  clock.advance(0.5);
  receive(answer);
  clock.advance(5);
  expect(samples).toMatchObject([{ outcome: "discarded", sequence: 0 }]);
});

test("a probe without an answer is lost, however busy the thread was", () => {
  const { clock, samples } = bench([peer]);
  clock.advance(110);
  clock.block(5000);
  clock.advance(5);
  expect(samples).toMatchObject([{ outcome: "lost", sequence: 0 }]);
});

test("the packet left in the middle of its sending, and nobody knows when if that was interrupted", () => {
  const { clock, sent, samples, sending, reply, receive } = bench([peer]);
  clock.advance(110);
  receive(reply(last(sent)));
  sending.ms = 0.2;
  clock.advance(1000);
  const sentMs = last(sent).atMs - 0.1;
  receive(reply(last(sent)));
  const rttUs = (Number(clock.monotonicNs()) / 1e6 - sentMs) * 1000;
  expect(last(samples)).toMatchObject({ outcome: "received", sequence: 1, rttUs: expect.closeTo(rttUs, 2) });
  sending.ms = 5;
  clock.advance(1000);
  clock.advance(3);
  receive(reply(last(sent)));
  expect(last(samples)).toMatchObject({ outcome: "discarded", sequence: 2 });
});

test("a reflector that was quick while the send was interrupted is no liar", () => {
  const { clock, sent, samples, sending, receive } = bench([peer], { spacingJitter: 0 });
  sending.ms = 0.8;
  clock.advance(1001);
  clock.advance(1001);
  const probe = decodeSenderPacket(last(sent).bytes);
  if (!probe.ok) throw new Error(probe.reason);
  const heldMs = 0.7 + Number(clock.monotonicNs()) / 1e6 - last(sent).atMs;
  receive(encodeReflectorPacket(
    { ...probe.packet, timestamp: probe.packet.timestamp + BigInt(Math.round((heldMs / 1000) * 2 ** 32)), receiveTimestamp: probe.packet.timestamp, senderSequence: probe.packet.sequence, senderTimestamp: probe.packet.timestamp, senderError: probe.packet.error, senderTtl: 0 },
    last(sent).bytes,
  ));
  expect(last(samples)).toMatchObject({ outcome: "discarded", sequence: probe.packet.sequence });
});

test("a stall that was over before the answer came spoils nothing", () => {
  const { clock, sent, samples, reply, receive } = bench([peer]);
  clock.advance(110);
  clock.block(40);
  clock.advance(10);
  receive(reply(last(sent)));
  expect(samples).toMatchObject([{ outcome: "received", sequence: 0 }]);
});

test("probes are evenly spaced over peers and time, moved by no more than the jitter, without drift", () => {
  const targets = ["a", "b", "c", "d"].map((id, index): ProbeTarget => ({ id, address: `192.0.2.${index + 1}`, port: 8862, reflector: "stateful" }));
  const { clock, sent } = bench(targets, { timeoutMs: 100 });
  clock.advance(60_000);
  targets.forEach(({ address }, position) => {
    const times = sent.filter(({ to }) => to.address === address).map(({ atMs }) => atMs - 1000);
    expect(times.length).toBeGreaterThanOrEqual(59);
    times.forEach((atMs, turn) => expect(Math.abs(atMs - position * 250 - turn * 1000)).toBeLessThanOrEqual(100.001));
    expect(new Set(times.map((atMs) => Math.round(atMs % 1000))).size).toBeGreaterThan(20);
  });
});

test("after a pause there is no burst", () => {
  const { clock, sent } = bench([peer], { timeoutMs: 100 });
  clock.advance(2000);
  const before = sent.length;
  clock.block(60_000);
  clock.advance(1000);
  expect(sent.length - before).toBeLessThanOrEqual(2);
});

test("a target that did not change keeps its session; one that changed starts anew at 0", () => {
  const { clock, sent, sender } = bench([peer], { timeoutMs: 100 });
  clock.advance(3000);
  const sequence = (): number => Buffer.from(last(sent).bytes).readUInt32BE(0);
  const ssid = (): number => Buffer.from(last(sent).bytes).readUInt16BE(14);
  const [before, session] = [sequence(), ssid()];
  sender.setTargets([{ ...peer }, { ...peer, id: "c", address: "192.0.2.10" }]);
  clock.advance(1300);
  const mine = (): Sent[] => sent.filter(({ to }) => to.address === "192.0.2.9");
  expect(Buffer.from(last(mine()).bytes).readUInt32BE(0)).toBeGreaterThan(before);
  expect(Buffer.from(last(mine()).bytes).readUInt16BE(14)).toBe(session);
  sender.setTargets([{ ...peer, port: 9000 }]);
  clock.advance(200);
  expect([sequence(), ssid() === session]).toEqual([0, false]);
});

test("a name instead of an address is left out, and IPv6 spellings are one address", () => {
  const { clock, sent, samples, reply, receive } = bench([
    { ...peer, id: "x", address: "example.org" }, { ...peer, id: "y", address: "2001:DB8:0:0::9" },
  ]);
  clock.advance(2000);
  expect(new Set(sent.map(({ to }) => to.address))).toEqual(new Set(["2001:DB8:0:0::9"]));
  receive(reply(last(sent)), { address: "2001:db8::9", port: 8862 });
  expect(last(samples)).toMatchObject({ id: "y", outcome: "received" });
});

test("a stopped sender leaves no timer behind", () => {
  const { clock, sender } = bench([peer]);
  clock.advance(110);
  sender.stop();
  expect(clock.timers).toBe(0);
});
