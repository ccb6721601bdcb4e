import { agreeProbeKeys, generateProbeKeys, probeKeysFromPrivate } from "../../src/sidecar/probe/probe-keys.js";

const octets = (from: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, index) => from + index);
const alice = probeKeysFromPrivate(octets(0));
const bob = probeKeysFromPrivate(octets(32));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("a secret from the settings stands in the place of the agreed one, with a key of its own for each direction", () => {
  const [a, b] = [generateProbeKeys(), generateProbeKeys()];
  const secret = Buffer.from("a secret that all nodes share");
  const [ofA, ofB] = [agreeProbeKeys(a, b.publicKey, secret), agreeProbeKeys(b, a.publicKey, secret)];
  if (!ofA.ok || !ofB.ok) throw new Error("refused");
  expect(ofA.keys.outgoing).toEqual(ofB.keys.incoming);
  expect(ofA.keys.incoming).toEqual(ofB.keys.outgoing);
  expect(ofA.keys.outgoing).not.toEqual(ofA.keys.incoming);
  expect(agreeProbeKeys(a, b.publicKey)).not.toEqual(ofA);
  expect(agreeProbeKeys(a, b.publicKey, Buffer.from("another"))).not.toEqual(ofA);
});

test("both ends derive the same two keys, crossed over", () => {
  const [a, b] = [agreeProbeKeys(alice, bob.publicKey), agreeProbeKeys(bob, alice.publicKey)];
  if (!a.ok || !b.ok) throw new Error("no agreement");
  expect(a.keys.outgoing).toEqual(b.keys.incoming);
  expect(a.keys.incoming).toEqual(b.keys.outgoing);
  expect(a.keys.outgoing).not.toEqual(a.keys.incoming);
  expect(a.keys.outgoing).toHaveLength(32);
});

test("the derivation is pinned: computed apart, with X25519 and HKDF written out in Python", () => {
  expect(hex(alice.publicKey)).toBe("8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f");
  expect(hex(bob.publicKey)).toBe("358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254");
  const agreed = agreeProbeKeys(alice, bob.publicKey);
  expect(agreed.ok && hex(agreed.keys.outgoing)).toBe("40cd1fe1c642a9485542ed7e55fb2c97a8e886d652edeb56fbe1f1c1ba3b9c1a");
  expect(agreed.ok && hex(agreed.keys.incoming)).toBe("8b18f39a4d7e65ceb9a9f2d6dc815acf844aae2d80d634bdb38f140192787e5c");
});

test("another peer gives other keys", () => {
  const [a, b] = [agreeProbeKeys(alice, bob.publicKey), agreeProbeKeys(alice, generateProbeKeys().publicKey)];
  expect(a.ok && b.ok && Buffer.compare(a.keys.outgoing, b.keys.outgoing) !== 0).toBe(true);
});

test("keys that agree on nothing secret are refused by name", () => {
  const one = Buffer.alloc(32);
  one[0] = 1;
  expect(agreeProbeKeys(alice, Buffer.alloc(32))).toEqual({ ok: false, reason: "weak-key" });
  expect(agreeProbeKeys(alice, one)).toEqual({ ok: false, reason: "weak-key" });
  expect(agreeProbeKeys(alice, Buffer.alloc(31))).toEqual({ ok: false, reason: "key-length" });
  expect(agreeProbeKeys(alice, alice.publicKey)).toEqual({ ok: false, reason: "own-key" });
  expect(() => probeKeysFromPrivate(Buffer.alloc(31))).toThrow(RangeError);
});
