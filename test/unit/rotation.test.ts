import fc from "fast-check";
import { rotationKey } from "../../src/beacon/documents.js";
import { seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type Pin, PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { type KeyRotation, openRotation, readRotationDocument, ROTATION, rotationDocument, sealRotation } from "../../src/beacon/rotation.js";
import { chainFrom, forkAt, keysBefore, lineageOf } from "../../src/beacon/rotation-chain.js";
import { beacon, identity, NOW_MS, verifiedBeacon } from "../harness/records.js";
import { keyHex, rotation } from "../harness/rotations.js";
import { flipped } from "../harness/tampering.js";

const keys = new KeyAdmission();
const place = { node: "n1", datacenter: "dc1" };
const statement = { ...place, epoch: 5, issuedAtMs: NOW_MS };
const pin = (seed: number, more: Partial<Pin> = {}): Pin => ({ ...place, publicKey: keyHex(seed), origin: "cluster", ...more });
const n1 = (by: number, epoch = 12, sequence = 1) => verifiedBeacon({ node: "n1", epoch, sequence }, identity(by));

describe("a rotation", () => {
  const sealed = sealRotation(statement, identity(1), identity(2));

  test("opens as what both keys signed, and survives its document", () => {
    const opened = openRotation(sealed, keys, place);
    if (!opened.ok) throw new Error(opened.detail);
    expect(opened.rotation).toMatchObject({ ...statement, oldKey: keyHex(1), newKey: keyHex(2) });
    const again = readRotationDocument(JSON.parse(JSON.stringify(rotationDocument(opened.rotation))));
    expect(again).toEqual({ byOld: Buffer.from(sealed.byOld), byNew: Buffer.from(sealed.byNew) });
    expect(rotationKey(opened.rotation)).toBe(`ibrl/v1/rotations/dc1/n1/5-${keyHex(2).slice(0, 16)}`);
  });

  const signedBy = (record: Partial<KeyRotation>, by: number) =>
    seal(ROTATION, { ...statement, oldKey: keyHex(1), newKey: keyHex(2), ...record }, identity(by));

  test.each([
    ["signed by the old key alone", { byOld: signedBy({}, 1), byNew: signedBy({}, 1) }, "bad-signature"],
    ["signed by the new key alone", { byOld: signedBy({}, 2), byNew: signedBy({}, 2) }, "bad-signature"],
    ["with the seals exchanged", { byOld: sealed.byNew, byNew: sealed.byOld }, "bad-signature"],
    ["by a third key in the old one's place", { byOld: signedBy({}, 3), byNew: sealed.byNew }, "bad-signature"],
    ["by a third key in the new one's place", { byOld: sealed.byOld, byNew: signedBy({}, 3) }, "bad-signature"],
    ["with two epochs", { byOld: sealed.byOld, byNew: signedBy({ epoch: 6 }, 2) }, "malformed-payload"],
    ["with two new keys", { byOld: signedBy({ newKey: keyHex(3) }, 1), byNew: sealed.byNew }, "malformed-payload"],
    ["of another node", sealRotation({ ...statement, node: "n2" }, identity(1), identity(2)), "wrong-node"],
    ["of another datacenter", sealRotation({ ...statement, datacenter: "dc2" }, identity(1), identity(2)), "wrong-node"],
    ["with a beacon in its place", { byOld: seal({ ...ROTATION, type: 1, encode: () => new Uint8Array(8) }, statement as never, identity(1)), byNew: sealed.byNew }, "wrong-purpose"],
  ] as const)("%s is refused", (_, forged, reason) => {
    expect(openRotation(forged, keys, place)).toMatchObject({ ok: false, reason });
  });

  test("to the key itself, or from the epoch in which nothing was said, cannot be signed", () => {
    expect(() => sealRotation(statement, identity(1), identity(1))).toThrow("new_key");
    expect(() => sealRotation({ ...statement, epoch: 1 }, identity(1), identity(2))).toThrow("epoch");
  });

  test("with any bit of either seal changed is refused, and nothing is thrown", () => {
    for (const side of ["byOld", "byNew"] as const) {
      for (let at = 0; at < sealed[side].length; at += 1) {
        expect(openRotation({ ...sealed, [side]: flipped(sealed[side], at) }, keys, place).ok).toBe(false);
      }
    }
  });

  test.each([[null], [1], [[]], [{}], [{ v: 2, byOld: "", byNew: "" }], [{ v: 1, byOld: 1, byNew: "" }], [{ v: 1, byOld: "" }]])("is not read from %j", (document) => {
    expect(readRotationDocument(document)).toBeNull();
  });
});

describe("a chain", () => {
  const chain = [rotation(1, 2, 5), rotation(2, 3, 7), rotation(3, 4, 9)];
  const branch = rotation(2, 9, 8);
  const back = rotation(3, 1, 8);

  test("is followed from any of its keys to its end, whatever order it was read in", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(chain, { minLength: 3 }), fc.integer({ min: 0, max: 3 }), (read, from) => {
        expect(chainFrom(keyHex(from + 1), read).steps).toEqual(chain.slice(from));
        expect(keysBefore(keyHex(from + 1), read)).toEqual([1, 2, 3].slice(0, from).map(keyHex));
      }),
    );
  });

  test("ends before what is missing, and a later part of it is of no use", () => {
    fc.assert(
      fc.property(fc.subarray([0, 1, 2]), (present) => {
        const steps = chainFrom(keyHex(1), present.map((i) => chain[i] as (typeof chain)[0])).steps;
        const whole = [0, 1, 2].findIndex((i) => !present.includes(i));
        expect(steps).toHaveLength(whole === -1 ? 3 : whole);
      }),
    );
  });

  test("does not go back in epochs", () => {
    expect(chainFrom(keyHex(1), [rotation(1, 2, 5), rotation(2, 3, 5)]).steps).toHaveLength(1);
    expect(chainFrom(keyHex(1), [rotation(1, 2, 5), rotation(2, 3, 4)]).steps).toHaveLength(1);
    // Nor for a reader who starts in its middle.
    expect(chainFrom(keyHex(2), [rotation(1, 2, 5), rotation(2, 3, 4)], [keyHex(1)]).steps).toHaveLength(0);
    expect(keysBefore(keyHex(3), [rotation(1, 2, 5), rotation(2, 3, 5)])).toEqual([keyHex(2)]);
  });

  test("is not held up by a hand-over from a stranger's key to one of its own, which a thief can sign", () => {
    expect(chainFrom(keyHex(1), [rotation(9, 1, 1_000_000), ...chain]).steps).toEqual(chain);
  });

  test("that comes back to a key of its own stops before it", () => {
    expect(chainFrom(keyHex(1), [...chain.slice(0, 2), back]).steps).toEqual(chain.slice(0, 2));
    expect(chainFrom(keyHex(3), [back], [keyHex(1), keyHex(2)]).steps).toEqual([]);
    expect(keysBefore(keyHex(1), [...chain.slice(0, 2), back])).toEqual([keyHex(2), keyHex(3)]);
  });

  test("with two rotations of one key is a fork: followed up to it, named the same by every reader", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...chain, branch], { minLength: 4 }), (read) => {
        const { steps, fork } = chainFrom(keyHex(1), read);
        expect(steps).toEqual([chain[0]]);
        expect(new Set(fork)).toEqual(new Set([chain[1], branch]));
        expect(forkAt(keyHex(2), read)).toEqual(fork);
        expect(keysBefore(keyHex(3), read)).toEqual([]);
      }),
    );
  });

  test("in which one hand-over is stated twice is no fork", () => {
    const twice = rotation(1, 2, 6);
    expect(chainFrom(keyHex(1), [twice, ...chain])).toEqual({ steps: chain });
    expect(forkAt(keyHex(1), [twice, ...chain])).toBeUndefined();
  });
});

describe("a lineage", () => {
  test("is the first key of each node's own chain; a key that two nodes came to by different ways stands for itself", () => {
    const read = [rotation(1, 2, 5), rotation(2, 3, 7), rotation(11, 12, 5, "n2"), rotation(13, 3, 5, "n3")];
    for (const order of [read, [...read].reverse()]) {
      expect([1, 2, 3, 11, 12, 13].map((seed) => lineageOf(order)(keyHex(seed)))).toEqual([1, 1, 3, 11, 11, 13].map(keyHex));
    }
  });
});

describe("pins", () => {
  test("follow to the end of the chain, keep the keys they came by, and are told to the disk once", () => {
    const written: (readonly Pin[])[] = [];
    const book = new PinBook([pin(1)], (all) => written.push(all));
    expect(book.follow([rotation(2, 3, 7), rotation(1, 2, 5)]).moved).toEqual([pin(3, { formerKeys: [keyHex(1), keyHex(2)] })]);
    expect(book.follow([rotation(2, 3, 7), rotation(1, 2, 5)])).toEqual({ moved: [], forks: [] });
    expect(written).toEqual([[pin(3, { formerKeys: [keyHex(1), keyHex(2)] })]]);
    expect(book.judge("n1", "dc1", keyHex(3))).toEqual({ kind: "pinned", origin: "cluster" });
    const shown = book.rotationsOf("n1", "dc1");
    expect(shown.map(({ epoch }) => epoch)).toEqual([5, 7]);
    expect([1, 2, 3, 4].map((seed) => lineageOf(shown)(keyHex(seed)))).toEqual([keyHex(1), keyHex(1), keyHex(1), keyHex(4)]);
  });

  test("of a reader without history are the ones in KV; the chain behind them names the identity", () => {
    const book = new PinBook([]);
    book.learn([pin(2)]);
    book.follow([rotation(1, 2, 5)]);
    expect(lineageOf(book.rotationsOf("n1", "dc1"))(keyHex(2))).toBe(keyHex(1));
    expect(book.judge("n1", "dc1", keyHex(1))).toEqual({ kind: "superseded-key", current: keyHex(2) });
  });

  test("that KV has not moved yet are no dispute; that KV moved first are one until the rotation is read", () => {
    const book = new PinBook([pin(1)]);
    book.learn([pin(2)]);
    expect(book.dispute("n1", "dc1")).toContain(keyHex(2));
    book.follow([rotation(1, 2, 5)]);
    expect(book.dispute("n1", "dc1")).toBeUndefined();
    book.learn([pin(1)]);
    expect(book.dispute("n1", "dc1")).toBeUndefined();
    book.learn([pin(8)]);
    expect(book.dispute("n1", "dc1")).toContain(keyHex(8));
  });

  test("are not moved by a rotation of another node or of a key that was never pinned", () => {
    const book = new PinBook([pin(1)]);
    expect(book.follow([rotation(1, 2, 5, "n2"), rotation(7, 8, 5)]).moved).toEqual([]);
    expect(book.judge("n1", "dc1", keyHex(1))).toEqual({ kind: "pinned", origin: "cluster" });
  });

  test("at a fork stay, and no key of the node is believed any more: whoever holds the key signed twice", () => {
    const book = new PinBook([pin(1)]);
    const pair = [rotation(1, 2, 5), rotation(1, 3, 5)] as const;
    expect(book.follow(pair).forks).toEqual([forkAt(keyHex(1), pair)]);
    const registry = new Registry(book);
    for (const by of [1, 2, 3]) {
      expect(registry.admit(n1(by), "meta", 0)).toMatchObject({ ok: false, reason: "equivocation", detail: expect.stringContaining("rotated to two keys") });
    }
    expect(registry.quarantined().map(({ reason }) => reason)).toContain("equivocation");
  });

  test("that followed before the thief's rotation appeared stay with the first; it is told, and costs the node nothing", () => {
    const book = new PinBook([pin(1)]);
    book.follow([rotation(1, 2, 5)]);
    const { moved, forks } = book.follow([rotation(1, 2, 5), rotation(1, 3, 6)]);
    expect(book.rotationsOf("n1", "dc1")).toMatchObject([{ newKey: keyHex(2) }]); // nor its past
    expect({ moved: moved.length, forks: forks.length }).toEqual({ moved: 0, forks: 1 });
    expect(book.judge("n1", "dc1", keyHex(2))).toEqual({ kind: "pinned", origin: "cluster" });
    expect(book.judge("n1", "dc1", keyHex(3))).toMatchObject({ kind: "pin-conflict" });
  });
});

describe("the registry at a rotation", () => {
  test("has no gap: what the old key said stands until the new key speaks, and then one entry is left", () => {
    const book = new PinBook([pin(1)]);
    const registry = new Registry(book);
    registry.admit(n1(1), "meta", 0);
    book.follow([rotation(1, 2, 13)]);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
    expect(registry.admit(n1(2, 13), "meta", 1)).toMatchObject({ ok: true });
    expect(registry.list({}, 2).map(({ verified }) => verified.key.hex)).toEqual([keyHex(2)]);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
  });

  test("a stolen old key is useless: refused once the rotation is known, and what it said before ends with its validity", () => {
    const book = new PinBook([pin(1)]);
    const registry = new Registry(book);
    registry.admit(n1(1), "meta", 0);
    book.follow([rotation(1, 2, 13)]);
    expect(registry.admit(n1(1, 99), "event", 1)).toMatchObject({ ok: false, reason: "superseded-key" });
    expect(registry.byNode("n1")?.verified.record.epoch).toBe(12);
    registry.sweep(beacon().validityMs - 1);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
    registry.sweep(beacon().validityMs + 1);
    expect(registry.byNode("n1")).toBeUndefined();
  });
});
