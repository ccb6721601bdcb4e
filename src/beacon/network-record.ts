/**
 * The beacon network's records: what a node states to it, and the root that the network signs over all statements that it
 * lists. A leaf is the SHA-256 of two SHA-256: of the sealed beacon, and of the sealed attestation. Pure.
 */
import { createHash } from "node:crypto";
import { ibrl } from "../proto/messages.js";
import { ATTESTATION, type Attestation } from "./attestation.js";
import { integer, messageIn, RecordError } from "./codec.js";
import { BEACON, open, type OpenContext, openStatement, type Purpose, type Signed, type Verified } from "./envelope.js";
import { HASH_BYTES } from "./merkle.js";
import { type Beacon, compareOrder } from "./record.js";
import { reject, type Rejection } from "./rejection.js";

const wire = ibrl.v1;
const MAX_U32 = 2 ** 32 - 1;

export interface NetworkRoot {
  issuedAtMs: number;
  count: number;
  root: Uint8Array;
}

export const NETWORK_ROOT: Purpose<NetworkRoot> = {
  domain: "ibrl/v1/network-root",
  type: wire.PayloadType.NETWORK_ROOT,
  maxBytes: 256,
  encode: ({ issuedAtMs, count, root }) => wire.NetworkRoot.encode({ issued_at_ms: issuedAtMs, count, root }).finish(),
  decode: (payload) => {
    const m = messageIn((bytes) => wire.NetworkRoot.decode(bytes), payload);
    const root = m.root ?? new Uint8Array();
    if (root.length !== HASH_BYTES) throw new RecordError("root", `${String(root.length)} bytes, not ${String(HASH_BYTES)}`);
    return { issuedAtMs: integer("issued_at_ms", m.issued_at_ms, Number.MAX_SAFE_INTEGER), count: integer("count", m.count, MAX_U32), root };
  },
};

export interface Statement {
  sealedBeacon: Uint8Array;
  sealedAttestation: Uint8Array;
}

/** A node as it stated itself: both records by one key, for one node, of one epoch and sequence. */
export interface Member {
  beacon: Verified<Beacon>;
  attestation: Signed<Attestation>;
}

export type OpenedMember = { ok: true; member: Member } | Rejection;

/** The beacon's age counts; the attestation's is for who gave its nonce. Never throws on any bytes. */
export function openMember({ sealedBeacon, sealedAttestation }: Statement, context: OpenContext): OpenedMember {
  const beacon = open(BEACON, sealedBeacon, context);
  if (!beacon.ok) return beacon;
  const attestation = openStatement(ATTESTATION, sealedAttestation, context.keys);
  if (!attestation.ok) return reject(attestation.reason, `attestation: ${attestation.detail}`);
  const [told, signed] = [beacon.verified, attestation.signed];
  if (told.key.hex !== signed.key.hex) return reject("wrong-node", `the attestation is signed by ${signed.key.hex}, the beacon by ${told.key.hex}`);
  const { node, datacenter } = signed.record;
  if (node !== told.record.node || datacenter !== told.record.datacenter) return reject("wrong-node", `the attestation is of ${node} in ${datacenter}`);
  if (compareOrder(signed.record, told.record) !== 0) return reject("wrong-node", "the attestation is of another sequence than the beacon");
  return { ok: true, member: { beacon: told, attestation: signed } };
}

export function leafOf({ beacon, attestation }: Member): Uint8Array {
  return createHash("sha256").update(Buffer.from(beacon.hash, "hex")).update(Buffer.from(attestation.hash, "hex")).digest();
}
