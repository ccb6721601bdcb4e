/** The table of accepted and rejected keys and signatures (test/vectors/ed25519), line by line, through `open` as well. */
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { hashes, Point, verify as nobleVerify } from "@noble/ed25519";
import { BEACON, open } from "../../src/beacon/envelope.js";
import { type AdmittedKey, KeyAdmission, type KeyFault, keyFault } from "../../src/beacon/keys.js";
import { ibrl } from "../../src/proto/messages.js";
import { context } from "../harness/records.js";

hashes.sha512 = (message) => Uint8Array.from(createHash("sha512").update(message).digest());

interface SignatureCase {
  source: string;
  id: string | number;
  what: string;
  publicKey: string;
  message: string;
  signature: string;
  published?: string;
  admission: KeyFault | "admitted";
  nodeCrypto: boolean;
  nobleStrict: boolean;
  accepted: boolean;
}
interface KeyCase {
  what: string;
  key: string;
  admission: KeyFault;
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../vectors/ed25519/${name}.json`, import.meta.url), "utf8"));
const keys = read("keys") as KeyCase[];
const signatures = read("signatures") as SignatureCase[];
const bytes = (hex: string) => Buffer.from(hex, "hex");

const SPKI = bytes("302a300506032b6570032100");
const acceptedByNode = ({ publicKey, message, signature }: SignatureCase) =>
  verify(null, bytes(message), createPublicKey({ key: Buffer.concat([SPKI, bytes(publicKey)]), format: "der", type: "spki" }), bytes(signature));
const acceptedByNoble = ({ publicKey, message, signature }: SignatureCase) => {
  try {
    return nobleVerify(bytes(signature), bytes(message), bytes(publicKey), { zip215: false });
  } catch {
    return false; // a wrong length throws
  }
};

test.each(keys)("key of $what: $admission, at once and in full", ({ key, admission }) => {
  expect(keyFault(bytes(key))).toBe(admission);
  expect(new KeyAdmission().known(bytes(key))).toBe(admission); // none of them waits for a torsion check
  const envelope = ibrl.v1.Envelope.encode({ public_key: bytes(key), payload_type: 1, payload: Buffer.alloc(4), signature: Buffer.alloc(64) }).finish();
  expect(open(BEACON, envelope, context())).toMatchObject({ ok: false, reason: "bad-key" });
});

test("the table has all eight torsion points, each in every encoding that 32 bytes have for it", () => {
  const decoded = (key: string) => Point.fromBytes(bytes(key), true); // ZIP 215 reads non-canonical encodings too
  const points = keys.slice(0, 14).map(({ key }) => decoded(key));
  expect(points.every((point) => point.isSmallOrder())).toBe(true);
  expect(new Set(points.map((point) => point.toHex())).size).toBe(8);
  // y is small enough for a second encoding, y + p < 2^255, only for y = 0 and y = 1; x = 0 has a second sign only for y = 1 and y = -1.
  expect(new Set(keys.slice(0, 14).map(({ key }) => key)).size).toBe(14);
});

test.each(signatures)("$source $id, $what: admission $admission, accepted $accepted", (vector) => {
  expect(keyFault(bytes(vector.publicKey)) ?? "admitted").toBe(vector.admission);
  expect(acceptedByNode(vector)).toBe(vector.nodeCrypto);
  expect(acceptedByNoble(vector)).toBe(vector.nobleStrict);

  const key = new KeyAdmission().admit(bytes(vector.publicKey));
  const accepted = typeof key === "object" && verify(null, bytes(vector.message), (key as AdmittedKey).verifier, bytes(vector.signature));
  expect(accepted).toBe(vector.accepted);
  if (vector.published === "valid" || vector.published === "invalid") expect(accepted).toBe(vector.published === "valid");
});

test("for admitted keys what we accept is what node:crypto accepts, and noble accepts all of it", () => {
  const admitted = signatures.filter(({ admission }) => admission === "admitted");
  expect(admitted.filter(({ accepted, nodeCrypto }) => accepted !== nodeCrypto)).toEqual([]);
  expect(admitted.filter(({ accepted, nobleStrict }) => accepted && !nobleStrict)).toEqual([]);
});

test("the two differ only where R has a torsion component, which our rule refuses", () => {
  const differing = signatures.filter(({ admission, nodeCrypto, nobleStrict }) => admission === "admitted" && nodeCrypto !== nobleStrict);
  expect(differing.map(({ source, id }) => `${source} ${String(id)}`)).toEqual(["ours 1", "ours 2", "ours 3", "ours 7"]);
  for (const { signature, accepted } of differing) {
    expect(Point.fromBytes(bytes(signature).subarray(0, 32), false).isTorsionFree()).toBe(false);
    expect(accepted).toBe(false);
  }
});
