/**
 * STAMP test packets (RFC 8762, session identifier of RFC 8972), both modes and both directions.
 * A key means authenticated mode, no key unauthenticated: the mode is agreed beforehand and is not
 * on the wire. Decoders take any bytes and never throw. What follows the base packet (padding or
 * TLVs) is not interpreted: a reflected packet carries it back, which makes it as long as the one
 * received. Timestamps are the raw 64 bits; ntp-time.ts gives them meaning.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { decodeErrorEstimate, encodeErrorEstimate, type ErrorEstimate } from "./error-estimate.js";
import {
  AUTHENTICATED, HMAC_BYTES, HMAC_OFFSET, MAX_PACKET_BYTES, UNAUTHENTICATED,
  type ModeLayout, type SenderLayout,
} from "./stamp-layout.js";

export interface SenderPacket {
  /** 0..2^32−1, from 0 in each session. */
  sequence: number;
  /** T1, 64 bits. */
  timestamp: bigint;
  error: ErrorEstimate;
  /** 1..65535, or 0 for a peer that does not use session identifiers. */
  ssid: number;
}

export interface ReflectorPacket extends SenderPacket {
  /** T2; `timestamp` of a reflected packet is T3. */
  receiveTimestamp: bigint;
  senderSequence: number;
  senderTimestamp: bigint;
  senderError: ErrorEstimate;
  /** TTL or hop limit of the packet as it arrived; 0 where the reflector could not see it. */
  senderTtl: number;
}

export type PacketFault = "short" | "long" | "bad-hmac" | "malformed";
export type Decoded<T> = { ok: true; packet: T } | { ok: false; reason: PacketFault };
export type HmacKey = Uint8Array;

/** Length of a base packet: 44 without and 112 with a key. */
export function basePacketBytes(key?: HmacKey): number {
  return layoutOf(key).baseBytes;
}

/** A sender packet of `lengthBytes` (at least the base length), padded with zeros. */
export function encodeSenderPacket(packet: SenderPacket, key?: HmacKey, lengthBytes = 0): Buffer {
  const layout = layoutOf(key);
  const bytes = Buffer.alloc(Math.min(MAX_PACKET_BYTES, Math.max(layout.baseBytes, lengthBytes)));
  writeHead(bytes, layout.sender, packet);
  return seal(bytes, key);
}

/** The answer to `received`: its length, and its content beyond the base packet. */
export function encodeReflectorPacket(packet: ReflectorPacket, received: Uint8Array, key?: HmacKey): Buffer {
  const { baseBytes, reflector } = layoutOf(key);
  const bytes = Buffer.alloc(Math.max(baseBytes, received.length));
  bytes.set(received.subarray(baseBytes), baseBytes);
  writeHead(bytes, reflector, packet);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, packet.receiveTimestamp), reflector.receiveTimestamp);
  bytes.writeUInt32BE(packet.senderSequence >>> 0, reflector.senderSequence);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, packet.senderTimestamp), reflector.senderTimestamp);
  bytes.writeUInt16BE(encodeErrorEstimate(packet.senderError), reflector.senderError);
  bytes.writeUInt8(packet.senderTtl & 0xff, reflector.senderTtl);
  return seal(bytes, key);
}

export function decodeSenderPacket(input: Uint8Array, key?: HmacKey): Decoded<SenderPacket> {
  const bytes = asBuffer(input);
  const layout = layoutOf(key);
  const fault = faultOf(bytes, layout, key);
  if (fault !== undefined) return { ok: false, reason: fault };
  const packet = readHead(bytes, layout.sender);
  return isMalformed(packet) ? { ok: false, reason: "malformed" } : { ok: true, packet };
}

export function decodeReflectorPacket(input: Uint8Array, key?: HmacKey): Decoded<ReflectorPacket> {
  const bytes = asBuffer(input);
  const layout = layoutOf(key);
  const fault = faultOf(bytes, layout, key);
  if (fault !== undefined) return { ok: false, reason: fault };
  const at = layout.reflector;
  const packet: ReflectorPacket = {
    ...readHead(bytes, at),
    receiveTimestamp: bytes.readBigUInt64BE(at.receiveTimestamp),
    senderSequence: bytes.readUInt32BE(at.senderSequence),
    senderTimestamp: bytes.readBigUInt64BE(at.senderTimestamp),
    senderError: decodeErrorEstimate(bytes.readUInt16BE(at.senderError)),
    senderTtl: bytes.readUInt8(at.senderTtl),
  };
  return isMalformed(packet) ? { ok: false, reason: "malformed" } : { ok: true, packet };
}

function layoutOf(key: HmacKey | undefined): ModeLayout {
  return key === undefined ? UNAUTHENTICATED : AUTHENTICATED;
}

function asBuffer(input: Uint8Array): Buffer {
  return Buffer.from(input.buffer, input.byteOffset, input.byteLength);
}

/** The HMAC is checked before any field is read, as RFC 8762 (4.4) asks. */
function faultOf(bytes: Buffer, layout: ModeLayout, key: HmacKey | undefined): PacketFault | undefined {
  if (bytes.length < layout.baseBytes) return "short";
  if (bytes.length > MAX_PACKET_BYTES) return "long";
  if (key === undefined) return undefined;
  const claimed = bytes.subarray(HMAC_OFFSET, HMAC_OFFSET + HMAC_BYTES);
  return timingSafeEqual(claimed, hmacOf(bytes, key)) ? undefined : "bad-hmac";
}

/** RFC 4656 (4.1.2) calls a packet with a Multiplier of 0 corrupt. */
function isMalformed(packet: SenderPacket): boolean {
  return packet.error.multiplier === 0;
}

function writeHead(bytes: Buffer, at: SenderLayout, packet: SenderPacket): void {
  bytes.writeUInt32BE(packet.sequence >>> 0, at.sequence);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, packet.timestamp), at.timestamp);
  bytes.writeUInt16BE(encodeErrorEstimate(packet.error), at.error);
  bytes.writeUInt16BE(packet.ssid & 0xffff, at.ssid);
}

function readHead(bytes: Buffer, at: SenderLayout): SenderPacket {
  return {
    sequence: bytes.readUInt32BE(at.sequence),
    timestamp: bytes.readBigUInt64BE(at.timestamp),
    error: decodeErrorEstimate(bytes.readUInt16BE(at.error)),
    ssid: bytes.readUInt16BE(at.ssid),
  };
}

function seal(bytes: Buffer, key: HmacKey | undefined): Buffer {
  if (key !== undefined) bytes.set(hmacOf(bytes, key), HMAC_OFFSET);
  return bytes;
}

function hmacOf(bytes: Buffer, key: HmacKey): Buffer {
  return createHmac("sha256", key).update(bytes.subarray(0, HMAC_OFFSET)).digest().subarray(0, HMAC_BYTES);
}
