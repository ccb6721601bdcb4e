/**
 * Key rotation: one statement, "from this epoch on this node speaks by that key", sealed by the old key and by the new
 * one. Both seals hold the same payload, so neither key can be made to take part in what it did not sign. Not which
 * rotations are followed: that is rotation-chain.ts. Wire format: KeyRotation in proto/ibrl.proto.
 */
import type { KeyObject } from "node:crypto";
import { ibrl } from "../proto/messages.js";
import { integer, name, RecordError } from "./codec.js";
import { openStatement, type Purpose, seal } from "./envelope.js";
import { KEY_BYTES, type KeyAdmission } from "./keys.js";
import { reject, type Rejection } from "./rejection.js";

const wire = ibrl.v1;

export interface KeyRotation {
  node: string;
  datacenter: string;
  /** Lower-case hex of the whole keys. */
  oldKey: string;
  newKey: string;
  /** The first epoch of the new key. */
  epoch: number;
  issuedAtMs: number;
}

export const ROTATION: Purpose<KeyRotation> = {
  domain: "ibrl/v1/key-rotation",
  type: wire.PayloadType.KEY_ROTATION,
  maxBytes: 512,
  encode: encodeRotation,
  decode: (payload) => readRotation(wire.KeyRotation.decode(payload)),
};

/** The two envelopes, as they were signed. */
export interface SealedRotation {
  byOld: Uint8Array;
  byNew: Uint8Array;
}

/** Both seals were verified. Only `openRotation` makes one. */
export interface Rotation extends KeyRotation {
  readonly [verified]: true;
  readonly sealed: SealedRotation;
}
declare const verified: unique symbol;

interface Signer {
  publicKey: Uint8Array;
  privateKey: KeyObject;
}

/** Throws RecordError where a field is out of range. */
export function sealRotation(statement: Omit<KeyRotation, "oldKey" | "newKey">, old: Signer, next: Signer): SealedRotation {
  const rotation = { ...statement, oldKey: hex(old.publicKey), newKey: hex(next.publicKey) };
  return { byOld: seal(ROTATION, rotation, old), byNew: seal(ROTATION, rotation, next) };
}

/** `place`: whose rotation it must be, where the carrier says. Never throws on any input. */
export function openRotation(
  sealed: SealedRotation,
  keys: KeyAdmission,
  place?: { node: string; datacenter: string },
): { ok: true; rotation: Rotation } | Rejection {
  const byOld = openStatement(ROTATION, sealed.byOld, keys);
  if (!byOld.ok) return byOld;
  const byNew = openStatement(ROTATION, sealed.byNew, keys);
  if (!byNew.ok) return byNew;
  const { record } = byOld.signed;
  if (place !== undefined && (record.node !== place.node || record.datacenter !== place.datacenter)) {
    return reject("wrong-node", `a rotation of ${record.datacenter}/${record.node} in the place of ${place.datacenter}/${place.node}`);
  }
  // Each rotation has one encoding, so equal payloads are equal statements.
  if (Buffer.compare(encodeRotation(record), encodeRotation(byNew.signed.record)) !== 0) {
    return reject("malformed-payload", "the two seals hold different statements");
  }
  if (byOld.signed.key.hex !== record.oldKey || byNew.signed.key.hex !== record.newKey) {
    return reject("bad-signature", "a rotation takes the seals of its old and its new key");
  }
  const rotation: Omit<Rotation, typeof verified> = { ...record, sealed: { byOld: byOld.signed.sealed, byNew: byNew.signed.sealed } };
  return { ok: true, rotation: rotation as Rotation };
}

/** For KV and disk: `rotation` for people, the seals for readers. */
export function rotationDocument({ sealed, ...readable }: Rotation): Record<string, unknown> {
  const { node, datacenter, oldKey, newKey, epoch, issuedAtMs } = readable;
  return {
    v: 1,
    rotation: { node, datacenter, oldKey, newKey, epoch, issuedAt: new Date(issuedAtMs).toISOString() },
    byOld: Buffer.from(sealed.byOld).toString("base64"),
    byNew: Buffer.from(sealed.byNew).toString("base64"),
  };
}

/** Null for anything that has not the shape of a rotation document; what it says is openRotation's to find out. */
export function readRotationDocument(document: unknown): SealedRotation | null {
  if (typeof document !== "object" || document === null) return null;
  const { v, byOld, byNew } = document as Record<string, unknown>;
  if (v !== 1 || typeof byOld !== "string" || typeof byNew !== "string") return null;
  return { byOld: Buffer.from(byOld, "base64"), byNew: Buffer.from(byNew, "base64") };
}

function encodeRotation(rotation: KeyRotation): Uint8Array {
  const payload: ibrl.v1.KeyRotation.$Properties = {
    node: rotation.node,
    datacenter: rotation.datacenter,
    old_key: Buffer.from(rotation.oldKey, "hex"),
    new_key: Buffer.from(rotation.newKey, "hex"),
    epoch: rotation.epoch,
    issued_at_ms: rotation.issuedAtMs,
  };
  readRotation(payload);
  return wire.KeyRotation.encode(payload).finish();
}

function readRotation(m: ibrl.v1.KeyRotation.$Properties): KeyRotation {
  const oldKey = key("old_key", m.old_key);
  const newKey = key("new_key", m.new_key);
  if (oldKey === newKey) throw new RecordError("new_key", "is the old one");
  const epoch = integer("epoch", m.epoch, Number.MAX_SAFE_INTEGER);
  const issuedAtMs = integer("issued_at_ms", m.issued_at_ms, Number.MAX_SAFE_INTEGER);
  if (epoch > issuedAtMs / 1_000) throw new RecordError("epoch", `${String(epoch)}; at most the second of its issue`); // as in open()
  if (epoch < 2) throw new RecordError("epoch", `${String(epoch)}; the old key spoke in one before`);
  return {
    node: name("node", m.node),
    datacenter: name("datacenter", m.datacenter),
    oldKey,
    newKey,
    epoch,
    issuedAtMs,
  };
}

function key(field: string, bytes: Uint8Array | null | undefined): string {
  if (bytes?.length !== KEY_BYTES) throw new RecordError(field, `${String(bytes?.length ?? 0)} bytes; a key has ${String(KEY_BYTES)}`);
  return hex(bytes);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
