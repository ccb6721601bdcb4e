import { verify, createPublicKey } from "node:crypto";
import { Point } from "@noble/ed25519";
import { BEACON, open } from "../../src/beacon/envelope.js";
import { encodeBeacon } from "../../src/beacon/codec.js";
import { KeyAdmission, keyFault } from "../../src/beacon/keys.js";
import { ibrl } from "../../src/proto/messages.js";
import { beacon, context, identity } from "../harness/records.js";

/** The eight points of small order and their non-canonical encodings (RFC 8032 curve; the list of libsodium and of ed25519-speccheck). */
const SMALL_ORDER = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];
const NON_CANONICAL = [
  "0100000000000000000000000000000000000000000000000000000000000080", // identity with the sign bit
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = p
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = p + 1
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

test.each(SMALL_ORDER)("small-order key %s is never admitted", (hex) => {
  expect(keyFault(Buffer.from(hex, "hex"))).toBe("small-order");
});

test.each(NON_CANONICAL)("non-canonical key %s is never admitted", (hex) => {
  expect(keyFault(Buffer.from(hex, "hex"))).toBe("not-canonical");
});

test("a sound key with a torsion component added is not admitted", () => {
  const torsion = Point.fromHex(SMALL_ORDER[4] ?? "", false);
  const mixed = Point.fromBytes(identity(1).publicKey, false).add(torsion).toBytes();
  expect(keyFault(identity(1).publicKey)).toBeNull();
  expect(keyFault(mixed)).toBe("torsion");
});

test("31 and 33 bytes are no key", () => {
  expect(keyFault(new Uint8Array(31))).toBe("not-32-bytes");
  expect(keyFault(new Uint8Array(33))).toBe("not-32-bytes");
});

test("node:crypto alone would accept one constant signature for every message under the identity key; open does not", () => {
  const key = Buffer.from(SMALL_ORDER[0] ?? "", "hex");
  const signature = Buffer.concat([key, Buffer.alloc(32)]); // R = identity, S = 0
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key]);
  expect(verify(null, Buffer.from("anything"), createPublicKey({ key: spki, format: "der", type: "spki" }), signature)).toBe(true);
  const forged = ibrl.v1.Envelope.encode({ public_key: key, payload_type: 1, payload: encodeBeacon(beacon()), signature }).finish();
  expect(open(BEACON, forged, context())).toMatchObject({ ok: false, reason: "bad-key" });
});

test("verdicts are remembered, good and bad, within the capacity", () => {
  const admission = new KeyAdmission(2);
  const first = admission.admit(identity(1).publicKey);
  expect(admission.admit(identity(1).publicKey)).toBe(first);
  expect(admission.admit(Buffer.from(SMALL_ORDER[3] ?? "", "hex"))).toBe("small-order");
  admission.admit(identity(2).publicKey);
  expect(admission.admit(identity(1).publicKey)).not.toBe(first); // evicted, judged again
});
