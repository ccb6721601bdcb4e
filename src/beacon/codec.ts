/**
 * Beacons to payload bytes and back, and the field checks that state-codec.ts shares. Integers in fixed units on the wire (microseconds, ppm, micro-dollars);
 * what does not fit is refused by name on both sides. Decoding takes bytes whose signature was verified; what
 * they say may still be nonsense, so every field is checked. Wire format: proto/ibrl.proto.
 */
import type Long from "long";
import { ibrl } from "../proto/messages.js";
import { CAPABILITY_NAME_RULE, fromBits, toBits } from "./capabilities.js";
import { type Beacon, MAX_VALIDITY_MS, NAME_RULE, type RecordHeader } from "./record.js";

const wire = ibrl.v1;

/** A record says something that cannot be: `field` is the proto field, `message` says what would be right. */
export class RecordError extends Error {
  override readonly name = "RecordError";
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(`${field}: ${message}`);
  }
}

const PPM = 1_000_000;
export const MAX_US = 3_600_000_000; // an hour: no round trip is longer
const MAX_PRICE = 1_000_000 * PPM; // a million dollars for a GB
export const MAX_U32 = 0xffff_ffff;
/** Nomad job IDs may have 1024 characters; nothing that is signed is longer. */
const MAX_TEXT = 1_024;
/** What no text of a record may have, since it could rewrite a terminal. */
// oxlint-disable-next-line no-control-regex -- control characters are exactly what is refused
export const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const MAX_CAPABILITIES = 64;

export function encodeBeacon(beacon: Beacon): Uint8Array {
  const capabilities = toBits(beacon.capabilities);
  const payload: ibrl.v1.Beacon.$Properties = {
    ...header(beacon),
    capability_bits: capabilities.bits,
    capability_names: capabilities.others,
  };
  if (beacon.latency !== undefined) {
    payload.latency_us = beacon.latency.us;
    payload.latency_source = beacon.latency.source === "measured" ? 1 : 2;
  }
  if (beacon.jitterUs !== undefined) payload.jitter_us = beacon.jitterUs;
  if (beacon.lossRatio !== undefined) payload.loss_ppm = toPpm("loss_ppm", beacon.lossRatio);
  if (beacon.queueDepth !== undefined) payload.queue_depth = beacon.queueDepth;
  if (beacon.priceMicroUsdPerGb !== undefined) payload.price_microusd_per_gb = beacon.priceMicroUsdPerGb;
  if (beacon.declaredReputation !== undefined) {
    payload.declared_reputation_ppm = toPpm("declared_reputation_ppm", beacon.declaredReputation);
  }
  readBeacon(payload); // the same bounds for what we send as for what we receive
  return wire.Beacon.encode(payload).finish();
}

/** Throws RecordError, and nothing else. */
export function decodeBeacon(payload: Uint8Array): Beacon {
  return readBeacon(messageIn((bytes) => wire.Beacon.decode(bytes), payload));
}

/** Of bytes that are no message, protobufjs and its text decoder throw errors of several kinds: here it is one. */
export function messageIn<M>(decode: (payload: Uint8Array) => M, payload: Uint8Array): M {
  try {
    return decode(payload);
  } catch (error) {
    throw new RecordError("payload", error instanceof Error ? error.message : String(error));
  }
}

function readBeacon(m: ibrl.v1.Beacon.$Properties): Beacon {
  const beacon: Beacon = { ...readHeader(m), capabilities: readCapabilities(m) };
  const latencyUs = optional("latency_us", m.latency_us, MAX_US);
  const source = m.latency_source ?? 0;
  if ((latencyUs === undefined) !== (source === 0) || source < 0 || source > 2) {
    throw new RecordError("latency_source", `${String(source)} does not go with latency_us ${String(latencyUs)}`);
  }
  if (latencyUs !== undefined) beacon.latency = { us: latencyUs, source: source === 1 ? "measured" : "estimated" };
  assign(beacon, "jitterUs", optional("jitter_us", m.jitter_us, MAX_US));
  assign(beacon, "lossRatio", ratio(optional("loss_ppm", m.loss_ppm, PPM)));
  assign(beacon, "queueDepth", optional("queue_depth", m.queue_depth, MAX_U32));
  assign(beacon, "priceMicroUsdPerGb", optional("price_microusd_per_gb", m.price_microusd_per_gb, MAX_PRICE));
  assign(beacon, "declaredReputation", ratio(optional("declared_reputation_ppm", m.declared_reputation_ppm, PPM)));
  return beacon;
}

export function header(record: RecordHeader) {
  return {
    node: record.node,
    datacenter: record.datacenter,
    epoch: record.epoch,
    sequence: record.sequence,
    issued_at_ms: record.issuedAtMs,
    validity_s: record.validityMs / 1000,
  };
}

export function readHeader(m: ibrl.v1.Beacon.$Properties): RecordHeader {
  const validityS = integer("validity_s", m.validity_s, MAX_VALIDITY_MS / 1000);
  const epoch = integer("epoch", m.epoch, Number.MAX_SAFE_INTEGER);
  // proto3 reads an absent number as 0, so 0 stands for "not said" and no record may carry it.
  if (validityS === 0) throw new RecordError("validity_s", "0; every record ends, after 1 s to a day");
  if (epoch === 0) throw new RecordError("epoch", "0; epochs start at 1");
  return {
    node: name("node", m.node),
    datacenter: name("datacenter", m.datacenter),
    epoch,
    // A record each millisecond for seven weeks: more than any process seals.
    sequence: integer("sequence", m.sequence, MAX_U32),
    issuedAtMs: integer("issued_at_ms", m.issued_at_ms, Number.MAX_SAFE_INTEGER),
    validityMs: validityS * 1000,
  };
}

function readCapabilities(m: ibrl.v1.Beacon.$Properties): string[] {
  const named = m.capability_names ?? [];
  if (named.length > MAX_CAPABILITIES) throw new RecordError("capability_names", `more than ${String(MAX_CAPABILITIES)}`);
  for (const n of named) {
    if (!CAPABILITY_NAME_RULE.test(n)) throw new RecordError("capability_names", `${JSON.stringify(n)} does not match ${String(CAPABILITY_NAME_RULE)}`);
  }
  return [...new Set([...fromBits(integer("capability_bits", m.capability_bits, MAX_U32)), ...named])].sort();
}

export type Wire = number | Long | null | undefined;

/** 0..max, exact: what a 64-bit value beyond 2^53 becomes is no safe integer, so it is refused, never rounded. */
export function integer(field: string, value: Wire, max: number): number {
  const n = value === null || value === undefined ? 0 : typeof value === "number" ? value : value.toNumber();
  if (!Number.isSafeInteger(n) || n < 0 || n > max) {
    throw new RecordError(field, `${String(value)} is not an integer from 0 to ${String(max)}`);
  }
  return n;
}

export function optional(field: string, value: Wire, max: number): number | undefined {
  return value === null || value === undefined ? undefined : integer(field, value, max);
}

function ratio(ppm: number | undefined): number | undefined {
  return ppm === undefined ? undefined : ppm / PPM;
}

function toPpm(field: string, value: number): number {
  if (!(value >= 0 && value <= 1)) throw new RecordError(field, `${String(value)} is not a ratio from 0 to 1`);
  return Math.round(value * PPM);
}

export function name(field: string, value: string | null | undefined): string {
  if (!NAME_RULE.test(value ?? "")) throw new RecordError(field, `${JSON.stringify(value)} does not match ${String(NAME_RULE)}`);
  return value as string;
}

/** Text that people will see: bounded, and without control characters that could rewrite a terminal. */
export function text(field: string, value: string | null | undefined): string {
  const s = value ?? "";
  if (s.length > MAX_TEXT || CONTROL.test(s)) {
    throw new RecordError(field, `longer than ${String(MAX_TEXT)} characters, or has control characters`);
  }
  return s;
}

function assign<K extends keyof Beacon>(target: Beacon, key: K, value: Beacon[K] | undefined): void {
  if (value !== undefined) target[key] = value;
}
