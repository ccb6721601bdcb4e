import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { errorEstimateOf } from "../../src/sidecar/probe/error-estimate.js";
import { DEFAULT_PROBE_SETTINGS, type KnownSender, type ReflectorSettings } from "../../src/sidecar/probe/probe-settings.js";
import { Reflector } from "../../src/sidecar/probe/reflector.js";
import { decodeReflectorPacket, encodeSenderPacket, type HmacKey } from "../../src/sidecar/probe/stamp-packet.js";
import { ManualProbeClock } from "../harness/probe-clock.js";

const from = { address: "192.0.2.1", port: 5000 };
const known: KnownSender = { id: "a", address: "192.0.2.1", stateful: true };
const error = errorEstimateOf(1e-4, false);

function probe(sequence: number, options: { ssid?: number; key?: HmacKey; lengthBytes?: number } = {}): Buffer {
  const { ssid = 7, key, lengthBytes } = options;
  return encodeSenderPacket({ sequence, timestamp: 1000n + BigInt(sequence), error, ssid }, key, lengthBytes);
}

function bench(senders: KnownSender[] = [known], settings: Partial<ReflectorSettings> = {}) {
  const clock = new ManualProbeClock();
  const reflector = new Reflector({ ...DEFAULT_PROBE_SETTINGS.reflector, ...settings }, clock);
  reflector.setSenders(senders);
  const send = (bytes: Uint8Array, source = from) => reflector.reflect(bytes, source, clock.monotonicNs());
  const sequenceOf = (result: ReturnType<typeof send>, key?: HmacKey): number | string => {
    if (!result.ok) return result.reason;
    const decoded = decodeReflectorPacket(result.reply, key);
    return decoded.ok ? decoded.packet.sequence : decoded.reason;
  };
  return { clock, reflector, send, sequenceOf };
}

test("the answer copies the probe's fields and carries both times of the reflector", () => {
  const { send } = bench();
  const result = send(probe(42));
  const decoded = decodeReflectorPacket(result.ok ? result.reply : Buffer.alloc(0));
  expect(decoded).toMatchObject({
    ok: true,
    packet: { sequence: 0, ssid: 7, senderSequence: 42, senderTimestamp: 1042n, senderError: error, senderTtl: 0 },
  });
});

test("stateful answers are numbered by themselves, stateless ones as the probes", () => {
  const stateful = bench();
  expect([4, 9, 11].map((sequence) => stateful.sequenceOf(stateful.send(probe(sequence))))).toEqual([0, 1, 2]);
  const stateless = bench([{ ...known, stateful: false }]);
  expect([4, 9, 9].map((sequence) => stateless.sequenceOf(stateless.send(probe(sequence))))).toEqual([4, 9, 9]);
  expect(stateless.reflector.sessionCount).toBe(0);
});

test("short, long, malformed, forged, unknown, replayed and too many: each dropped and counted by its reason", () => {
  const key = Buffer.alloc(32, 1);
  const { reflector, send, sequenceOf } = bench([known, { id: "k", address: "192.0.2.2", key, stateful: true }], { burst: 3 });
  const keyed = { address: "192.0.2.2", port: 5000 };
  const results = [
    send(Buffer.alloc(0)), send(probe(0).subarray(0, 43)), send(Buffer.alloc(1473, 1)), send(Buffer.alloc(44)),
    send(probe(0), keyed), send(probe(0, { key: Buffer.alloc(32, 2) }), keyed),
    send(probe(0), { address: "192.0.2.3", port: 5000 }),
    send(probe(0)), send(probe(0)), send(probe(1)), send(probe(2)), send(probe(3)),
  ];
  expect(results.map((result) => sequenceOf(result))).toEqual([
    "short", "short", "long", "malformed", "short", "bad-hmac", "unknown-peer", 0, "replay", 1, 2, "rate",
  ]);
  expect(reflector.counters).toEqual({
    answered: 3, dropped: { short: 3, long: 1, malformed: 1, "bad-hmac": 1, "unknown-peer": 1, replay: 1, rate: 1 },
  });
});

test("a spoofed source port is unknown where the port is known", () => {
  const { send, sequenceOf } = bench([{ ...known, sourcePort: 5000 }]);
  expect(sequenceOf(send(probe(0), { ...from, port: 5001 }))).toBe("unknown-peer");
  expect(sequenceOf(send(probe(0)))).toBe(0);
});

test("a recorded authenticated probe is answered once, however often it is played", () => {
  const key = Buffer.alloc(32, 1);
  const { send, sequenceOf } = bench([{ ...known, key }]);
  const recorded = [0, 1, 2].map((sequence) => probe(sequence, { key }));
  expect(recorded.map((bytes) => sequenceOf(send(bytes), key))).toEqual([0, 1, 2]);
  expect([...recorded, ...recorded].map((bytes) => sequenceOf(send(bytes), key))).toEqual(Array(6).fill("replay"));
  send(probe(100, { key }));
  expect(sequenceOf(send(probe(50, { key })), key)).toBe("replay");
});

test("forged and replayed packets do not spend the budget of the real peer", () => {
  const key = Buffer.alloc(32, 1);
  const { send, sequenceOf } = bench([{ ...known, key }], { burst: 2, answersPerSecond: 1 });
  sequenceOf(send(probe(0, { key })));
  for (let count = 0; count < 30; count += 1) send(count % 2 === 0 ? probe(0, { key }) : Buffer.alloc(112, 9));
  expect(sequenceOf(send(probe(1, { key })), key)).toBe(1);
});

test("the HMACs computed for forged packets under a peer's address are bounded too", () => {
  const { reflector, send } = bench([{ ...known, key: Buffer.alloc(32, 1) }], { burst: 2, answersPerSecond: 1 });
  for (let count = 0; count < 1000; count += 1) send(Buffer.alloc(112, 9));
  expect(reflector.counters.dropped).toMatchObject({ "bad-hmac": 40, rate: 960 });
});

test("the budget refills with time and bounds the answers", () => {
  const { clock, reflector, send } = bench([known], { answersPerSecond: 10, burst: 5 });
  for (let sequence = 0; sequence < 1000; sequence += 1) {
    send(probe(sequence));
    clock.advance(10);
  }
  expect(reflector.counters.answered).toBeGreaterThan(90);
  expect(reflector.counters.answered).toBeLessThanOrEqual(105);
});

test("two peers behind one address are told apart by their keys", () => {
  const keys = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const { reflector, send } = bench(keys.map((key, index) => ({ id: `n${index}`, address: "192.0.2.1", key, stateful: true })));
  for (const key of keys) send(probe(0, { key }));
  send(probe(1, { key: Buffer.alloc(32, 2) }));
  expect(reflector.incoming().map(({ id, answered }) => [id, answered])).toEqual([["n0", 1], ["n1", 2]]);
});

test("a reordered probe is answered and counted", () => {
  const { reflector, send, sequenceOf } = bench();
  expect([0, 2, 1, 3].map((sequence) => sequenceOf(send(probe(sequence))))).toEqual([0, 1, 2, 3]);
  expect(reflector.incoming()).toMatchObject([{ id: "a", answered: 4, reordered: 1 }]);
});

test("sessions of one peer are few, and the oldest goes first", () => {
  const { reflector, send, sequenceOf } = bench([known], { sessionsPerPeer: 2, burst: 100 });
  expect([1, 2, 1, 3, 1, 2].map((ssid, sequence) => sequenceOf(send(probe(sequence, { ssid }))))).toEqual([0, 0, 1, 0, 2, 0]);
  for (let ssid = 1; ssid < 60; ssid += 1) send(probe(0, { ssid }));
  expect(reflector.sessionCount).toBe(2);
});

test("an unchanged peer keeps its sessions, a changed or removed one does not", () => {
  const { reflector, send, sequenceOf } = bench();
  send(probe(0));
  reflector.setSenders([{ ...known }, { ...known, id: "b", address: "192.0.2.5" }]);
  expect(sequenceOf(send(probe(1)))).toBe(1);
  reflector.setSenders([]);
  expect(sequenceOf(send(probe(2)))).toBe("unknown-peer");
  expect(reflector.sessionCount).toBe(0);
});

test("opened to others it answers them without state, within one budget for all", () => {
  const { reflector, send, sequenceOf } = bench([], { openAnswersPerSecond: 3 });
  const answers = Array.from({ length: 6 }, (_, index) => send(probe(index), { address: `192.0.2.${index}`, port: 1 }));
  expect(answers.map((answer) => sequenceOf(answer))).toEqual([0, 1, 2, "rate", "rate", "rate"]);
  expect(reflector.sessionCount).toBe(0);
});

test("an answer is exactly as long as its probe, whatever the packet", () => {
  const { send } = bench([known], { burst: 1e6, answersPerSecond: 1e6 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1600, size: "max" }), (bytes) => {
      const result = send(bytes);
      if (result.ok) expect(result.reply).toHaveLength(bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test("100,000 packets from unknown addresses are counted, dropped, and leave nothing in memory", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { reflector, send } = bench([known]);
  const bytes = probe(0);
  const flood = (count: number): void => {
    for (let index = 0; index < count; index += 1) {
      send(bytes, { address: `198.51.${(index >> 8) & 0xff}.${index & 0xff}`, port: index & 0xffff });
    }
  };
  flood(1000);
  collect();
  const before = process.memoryUsage().heapUsed;
  flood(100_000);
  collect();
  expect(reflector.counters).toMatchObject({ answered: 0, dropped: { "unknown-peer": 101_000 } });
  expect(reflector.sessionCount).toBe(0);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(1_000_000);
});
