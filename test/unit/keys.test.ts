import { verify, createPublicKey } from "node:crypto";
import { Point } from "@noble/ed25519";
import { BEACON, open } from "../../src/beacon/envelope.js";
import { encodeBeacon } from "../../src/beacon/codec.js";
import { KeyAdmission, keyFault } from "../../src/beacon/keys.js";
import { ibrl } from "../../src/proto/messages.js";
import { beacon, context, identity } from "../harness/records.js";

/** All of them, and the non-canonical ones, are in test/vectors/ed25519, which ed25519-table.test.ts runs. */
const IDENTITY = "0100000000000000000000000000000000000000000000000000000000000000";
const ORDER_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";

test("a sound key with a torsion component added is not admitted", () => {
  const torsion = Point.fromHex(ORDER_8, false);
  const mixed = Point.fromBytes(identity(1).publicKey, false).add(torsion).toBytes();
  expect(keyFault(identity(1).publicKey)).toBeNull();
  expect(keyFault(mixed)).toBe("torsion");
});

test("node:crypto alone would accept one constant signature for every message under the identity key; open does not", () => {
  const key = Buffer.from(IDENTITY, "hex");
  const signature = Buffer.concat([key, Buffer.alloc(32)]); // R = identity, S = 0
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key]);
  expect(verify(null, Buffer.from("anything"), createPublicKey({ key: spki, format: "der", type: "spki" }), signature)).toBe(true);
  const forged = ibrl.v1.Envelope.encode({ public_key: key, payload_type: 1, payload: encodeBeacon(beacon()), signature }).finish();
  expect(open(BEACON, forged, context())).toMatchObject({ ok: false, reason: "bad-key" });
});

test("verdicts are remembered, good and bad, for the keys seen last", () => {
  const admission = new KeyAdmission(2);
  const first = admission.admit(identity(1).publicKey);
  expect(admission.admit(identity(1).publicKey)).toBe(first);
  admission.settle(identity(2).publicKey, false);
  expect(admission.admit(identity(2).publicKey)).toBe("torsion");
  admission.admit(identity(3).publicKey);
  expect(admission.known(identity(1).publicKey)).toBeUndefined(); // evicted, to be judged again
});

test("what is cheap to find out evicts no verdict", () => {
  const admission = new KeyAdmission(1);
  const first = admission.admit(identity(1).publicKey);
  for (const bad of [Buffer.from(IDENTITY, "hex"), Buffer.alloc(32, 0xff), Buffer.alloc(5)]) expect(typeof admission.admit(bad)).toBe("string");
  expect(admission.known(identity(1).publicKey)).toBe(first);
});
