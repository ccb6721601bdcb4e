import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { ErrorEstimate } from "../../src/sidecar/probe/error-estimate.js";
import {
  basePacketBytes, decodeReflectorPacket, decodeSenderPacket, encodeReflectorPacket, encodeSenderPacket,
  type ReflectorPacket, type SenderPacket,
} from "../../src/sidecar/probe/stamp-packet.js";

interface Vector {
  name: string;
  mode: "unauthenticated" | "authenticated";
  direction: "sender" | "reflector";
  keyHex?: string;
  fields: {
    sequence: number; timestampHex: string; error: ErrorEstimate; ssid: number;
    receiveTimestampHex: string; senderSequence: number; senderTimestampHex: string;
    senderError: ErrorEstimate; senderTtl: number;
  };
  layout: { field: string; offset: number; hex: string }[];
  tailHex?: string;
}

const folder = join(process.cwd(), "test/vectors/stamp");
const vectors = readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as Vector);

const stamp = (hex: string): bigint => BigInt(`0x${hex}`);

function senderFields({ fields }: Vector): SenderPacket {
  const { sequence, error, ssid } = fields;
  return { sequence, error, ssid, timestamp: stamp(fields.timestampHex) };
}

function reflectorFields(vector: Vector): ReflectorPacket {
  const { fields } = vector;
  return {
    ...senderFields(vector),
    receiveTimestamp: stamp(fields.receiveTimestampHex),
    senderSequence: fields.senderSequence,
    senderTimestamp: stamp(fields.senderTimestampHex),
    senderError: fields.senderError,
    senderTtl: fields.senderTtl,
  };
}

describe.each(vectors.map((vector) => [vector.name, vector] as const))("STAMP vector %s", (_name, vector) => {
  const key = vector.keyHex === undefined ? undefined : Buffer.from(vector.keyHex, "hex");
  const base = Buffer.from(vector.layout.map(({ hex }) => hex).join(""), "hex");
  const octets = Buffer.concat([base, Buffer.from(vector.tailHex ?? "", "hex")]);
  const encoded =
    vector.direction === "sender"
      ? encodeSenderPacket(senderFields(vector), key, octets.length)
      : encodeReflectorPacket(reflectorFields(vector), octets, key);

  test.each(vector.layout)("writes $field at octet $offset", ({ offset, hex }) => {
    expect(encoded.subarray(offset, offset + hex.length / 2).toString("hex")).toBe(hex);
  });

  test("has the length of its mode and the tail unchanged", () => {
    expect(base).toHaveLength(vector.mode === "authenticated" ? 112 : 44);
    expect(encoded.toString("hex")).toBe(octets.toString("hex"));
  });

  test("reads the fields back", () => {
    const decoded = vector.direction === "sender" ? decodeSenderPacket(octets, key) : decodeReflectorPacket(octets, key);
    expect(decoded).toEqual({ ok: true, packet: vector.direction === "sender" ? senderFields(vector) : reflectorFields(vector) });
  });

  test("ignores what stands in must-be-zero octets, except under an HMAC", () => {
    const dirty = Buffer.from(octets);
    for (const { field, offset, hex } of vector.layout) if (field === "MBZ") dirty.fill(0xff, offset, offset + hex.length / 2);
    const decode = vector.direction === "sender" ? decodeSenderPacket : decodeReflectorPacket;
    expect(decode(dirty, key)).toEqual(key === undefined ? decode(octets) : { ok: false, reason: "bad-hmac" });
  });
});

const error = fc.record({
  synchronized: fc.boolean(),
  format: fc.constantFrom("ntp" as const, "ptp" as const),
  scale: fc.integer({ min: 0, max: 63 }),
  multiplier: fc.integer({ min: 1, max: 255 }),
});
const word = fc.integer({ min: 0, max: 0xffff_ffff });
const timestamp = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const ssid = fc.integer({ min: 0, max: 0xffff });
const senderPacket = fc.record({ sequence: word, timestamp, error, ssid });
const reflectorPacket = fc.record({
  sequence: word, timestamp, error, ssid, receiveTimestamp: timestamp, senderSequence: word,
  senderTimestamp: timestamp, senderError: error, senderTtl: fc.integer({ min: 0, max: 255 }),
});
const optionalKey = fc.option(fc.uint8Array({ minLength: 16, maxLength: 64 }), { nil: undefined });

test("any packet survives the way to the wire and back", () => {
  fc.assert(
    fc.property(senderPacket, reflectorPacket, optionalKey, fc.uint8Array({ maxLength: 200 }), (probe, answer, key, tail) => {
      const sent = encodeSenderPacket(probe, key, basePacketBytes(key) + tail.length);
      expect(decodeSenderPacket(sent, key)).toEqual({ ok: true, packet: probe });
      const received = Buffer.concat([sent.subarray(0, basePacketBytes(key)), tail]);
      const reflected = encodeReflectorPacket(answer, received, key);
      expect(reflected).toHaveLength(received.length);
      expect(reflected.subarray(basePacketBytes(key))).toEqual(Buffer.from(tail));
      expect(decodeReflectorPacket(reflected, key)).toEqual({ ok: true, packet: answer });
    }),
  );
});

test("decoders answer any bytes with a value or a named reason", () => {
  const reasons = ["short", "long", "bad-hmac", "malformed"];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1600, size: "max" }), optionalKey, (bytes, key) => {
      for (const decoded of [decodeSenderPacket(bytes, key), decodeReflectorPacket(bytes, key)]) {
        expect(decoded.ok || reasons.includes(decoded.reason)).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test("every changed bit among the first 112 octets of an authenticated packet is found", () => {
  const key = Buffer.alloc(32, 7);
  const packet = encodeSenderPacket({ sequence: 1, timestamp: 5n, error: { synchronized: false, format: "ntp", scale: 0, multiplier: 1 }, ssid: 9 }, key);
  for (let bit = 0; bit < packet.length * 8; bit += 1) {
    const changed = Buffer.from(packet);
    changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    expect(decodeSenderPacket(changed, key)).toEqual({ ok: false, reason: "bad-hmac" });
  }
  expect(decodeSenderPacket(packet, Buffer.alloc(32, 8))).toEqual({ ok: false, reason: "bad-hmac" });
});

test("lengths outside the format and a multiplier of 0 have their names", () => {
  const zero = Buffer.alloc(44);
  expect(decodeSenderPacket(zero)).toEqual({ ok: false, reason: "malformed" });
  expect(decodeSenderPacket(Buffer.alloc(43))).toEqual({ ok: false, reason: "short" });
  expect(decodeSenderPacket(Buffer.alloc(1473))).toEqual({ ok: false, reason: "long" });
  expect(decodeSenderPacket(Buffer.alloc(111), Buffer.alloc(32))).toEqual({ ok: false, reason: "short" });
});
