/**
 * The one signed thing: {public key, payload type, payload, signature}. `seal` signs once and the same bytes
 * travel everywhere; `open` is the only way from bytes to a Verified record: verify, then decode, then check what
 * the record says against the carrier it came by. `openStatement` is its first half, for what is no node's record. After libp2p's RFC 0002: domain, type, key and payload are
 * signed as length-prefixed bytes, so that no two purposes or field splits share a signature.
 */
import { createHash, type KeyObject, sign, verify } from "node:crypto";
import { ibrl } from "../proto/messages.js";
import { decodeBeacon, encodeBeacon } from "./codec.js";
import { decodeState, encodeState } from "./state-codec.js";
import { type AdmittedKey, beaconId, type KeyAdmission } from "./keys.js";
import type { Beacon, NodeState, RecordHeader } from "./record.js";
import { reject, type Rejection } from "./rejection.js";

const wire = ibrl.v1;

/** A purpose fixes the domain that is signed, the payload's type number, its size and its meaning. */
export interface Purpose<R> {
  readonly domain: string;
  readonly type: number;
  /** Of the whole envelope. */
  readonly maxBytes: number;
  readonly encode: (record: R) => Uint8Array;
  readonly decode: (payload: Uint8Array) => R;
}

/** 350 bytes is what a Consul user event carries safely (reference: serf's 512 before encoding). */
export const BEACON: Purpose<Beacon> = {
  domain: "ibrl/v1/beacon",
  type: wire.PayloadType.BEACON,
  maxBytes: 350,
  encode: encodeBeacon,
  decode: decodeBeacon,
};

/** In base64 inside its JSON document it stays under Consul's 512 KiB for a KV value. */
export const STATE: Purpose<NodeState> = {
  domain: "ibrl/v1/state",
  type: wire.PayloadType.STATE,
  maxBytes: 320 * 1024,
  encode: encodeState,
  decode: decodeState,
};

declare const signed: unique symbol;
declare const verified: unique symbol;

/** A payload whose signature and key were checked, and nothing else: it says who said it, not that it holds now. */
export interface Signed<S> {
  readonly [signed]: true;
  readonly record: S;
  readonly key: AdmittedKey;
  readonly beaconId: string;
  readonly signature: Uint8Array;
  /** The envelope as it was signed: what is stored and forwarded. A copy, safe to keep. */
  readonly sealed: Uint8Array;
  /** Lower-case hex SHA-256 of `sealed`. */
  readonly hash: string;
}

/** A node's record whose carrier and age were checked too. Only `open` makes one. */
export interface Verified<R extends RecordHeader> extends Signed<R> {
  readonly [verified]: true;
  /** By the reader's clock when it was opened; negative within the skew. */
  readonly ageMs: number;
}

export type OpenedStatement<S> = { ok: true; signed: Signed<S> } | Rejection;
export type Opened<R extends RecordHeader> = { ok: true; verified: Verified<R> } | Rejection;

export interface OpenContext {
  keys: KeyAdmission;
  nowMs: number;
  /** How far a clock may run ahead of ours. */
  skewMs: number;
  datacenter: string;
  /** The node that the carrier's place speaks for; absent where the carrier has none (a user event). */
  node?: string;
}

/** Ahead-of-us clocks up to this are accepted: NTP keeps hosts within milliseconds, leap smear within a second. */
export const DEFAULT_SKEW_MS = 10_000;

/** A record of ours does not fit its carrier. */
export class SealError extends Error {
  override readonly name = "SealError";
  constructor(
    readonly sizeBytes: number,
    readonly maxBytes: number,
    domain: string,
  ) {
    super(
      `a record for ${domain} is ${String(sizeBytes)} bytes and may be ${String(maxBytes)}: ` +
        "shorten the node name or drop capability names (beacon), or probe fewer peers (state)",
    );
  }
}

/**
 * Signs a record. Throws SealError when the envelope would be over the purpose's size, RecordError when a field
 * is out of range; nothing is published then.
 */
export function seal<R>(
  purpose: Purpose<R>,
  record: R,
  identity: { publicKey: Uint8Array; privateKey: KeyObject },
): Uint8Array {
  const payload = purpose.encode(record);
  const signature = sign(null, signedBytes(purpose, identity.publicKey, payload), identity.privateKey);
  const sealed = wire.Envelope.encode({
    public_key: identity.publicKey,
    payload_type: purpose.type,
    payload,
    signature,
  }).finish();
  if (sealed.length > purpose.maxBytes) throw new SealError(sealed.length, purpose.maxBytes, purpose.domain);
  return sealed;
}

/**
 * For what is signed once and does not age, or is judged by its user (a rotation, an allow-list, a decision): size, one
 * encoding, purpose, key, signature, payload. Never throws on any input. Records of nodes go through `open`.
 */
export function openStatement<S>(purpose: Purpose<S>, bytes: Uint8Array, keys: KeyAdmission): OpenedStatement<S> {
  if (bytes.length > purpose.maxBytes) {
    return reject("oversized", `${String(bytes.length)} bytes; at most ${String(purpose.maxBytes)}`);
  }
  const sealed = Uint8Array.from(bytes); // decoded fields alias their input; the caller may reuse its buffer
  const envelope = parseEnvelope(sealed);
  if (envelope === null) return reject("malformed-envelope", "not an ibrl.v1.Envelope in its one encoding");
  if (envelope.payload_type !== purpose.type) {
    return reject("wrong-purpose", `payload type ${String(envelope.payload_type)}; expected ${String(purpose.type)}`);
  }
  const key = keys.admit(envelope.public_key);
  if (typeof key === "string") return reject("bad-key", key);
  if (!verify(null, signedBytes(purpose, key.bytes, envelope.payload), key.verifier, envelope.signature)) {
    return reject("bad-signature", `for ${purpose.domain} by key ${beaconId(key.bytes)}`);
  }
  let record: S;
  try {
    record = purpose.decode(envelope.payload);
  } catch (error) {
    return reject("malformed-payload", error instanceof Error ? error.message : String(error));
  }
  const result: Omit<Signed<S>, typeof signed> = {
    record,
    key,
    beaconId: beaconId(key.bytes),
    signature: envelope.signature,
    sealed,
    hash: createHash("sha256").update(sealed).digest("hex"),
  };
  return { ok: true, signed: result as Signed<S> };
}

/** A node's record, at the place that it came by. Never throws on any input. */
export function open<R extends RecordHeader>(purpose: Purpose<R>, bytes: Uint8Array, context: OpenContext): Opened<R> {
  const opened = openStatement(purpose, bytes, context.keys);
  if (!opened.ok) return opened;
  const { record } = opened.signed;
  if (record.datacenter !== context.datacenter) {
    return reject("wrong-node", `speaks for datacenter ${record.datacenter}; this is ${context.datacenter}`);
  }
  if (context.node !== undefined && record.node !== context.node) {
    return reject("wrong-node", `speaks for ${record.node} in the place of ${context.node}`);
  }
  // An epoch is a start, and nobody starts once a second since 1970. So who stole a key cannot use its epochs up: the
  // highest that he can sign is passed by within seconds.
  if (record.epoch > record.issuedAtMs / 1_000) {
    return reject("malformed-payload", `epoch ${String(record.epoch)}; at most the second of its issue, ${String(Math.floor(record.issuedAtMs / 1_000))}`);
  }
  const ageMs = context.nowMs - record.issuedAtMs;
  if (ageMs < -context.skewMs) {
    return reject("issued-in-future", `${String(-ageMs)} ms ahead of this clock; at most ${String(context.skewMs)}`);
  }
  if (ageMs > record.validityMs) {
    return reject("expired", `${String(ageMs)} ms old; valid for ${String(record.validityMs)}`);
  }
  const result: Omit<Verified<R>, typeof verified> = { ...opened.signed, ageMs };
  return { ok: true, verified: result as Verified<R> };
}

/** The key that the bytes name, before anything of them is verified. Null where `open` refuses them without looking at a key. */
export function keyIn(purpose: Pick<Purpose<unknown>, "type" | "maxBytes">, bytes: Uint8Array): Uint8Array | null {
  const envelope = bytes.length > purpose.maxBytes ? null : parseEnvelope(bytes);
  return envelope?.payload_type === purpose.type ? envelope.public_key : null;
}

/** Null unless the bytes are exactly what `seal` would have written around these fields. */
function parseEnvelope(bytes: Uint8Array) {
  try {
    const envelope = wire.Envelope.decode(bytes);
    // One record, one byte string: otherwise a relay could make "other bytes" of a record by re-encoding it.
    return Buffer.compare(wire.Envelope.encode(envelope).finish(), bytes) === 0 ? envelope : null;
  } catch {
    return null;
  }
}

function signedBytes(purpose: { domain: string; type: number }, publicKey: Uint8Array, payload: Uint8Array): Buffer {
  const type = Buffer.alloc(4);
  type.writeUInt32BE(purpose.type);
  return Buffer.concat([Buffer.from(purpose.domain), type, publicKey, payload].flatMap(lengthPrefixed));
}

function lengthPrefixed(field: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(field.length);
  return [length, field];
}
