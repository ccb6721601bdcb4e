import { sign } from "node:crypto";
import fc from "fast-check";
import { BEACON, open, seal, SealError, STATE } from "../../src/beacon/envelope.js";
import { encodeBeacon } from "../../src/beacon/codec.js";
import type { Beacon } from "../../src/beacon/record.js";
import { ibrl } from "../../src/proto/messages.js";
import { beacon, context, identity, NOW_MS, state, workload } from "../harness/records.js";

const me = identity(1);
const reasonOf = (opened: ReturnType<typeof open>) => (opened.ok ? "opened" : opened.reason);

describe("size of the sealed beacon", () => {
  test("is at most 180 bytes for a 23-letter node name, typical values and two capabilities", () => {
    expect(beacon().node).toHaveLength(23);
    expect(seal(BEACON, beacon(), me).length).toBeLessThanOrEqual(180);
  });

  test("over 350 bytes it is refused by name, and nothing is sealed", () => {
    const capabilities = Array.from({ length: 12 }, (_, i) => `a-rather-long-capability-${String(i)}`);
    expect(() => seal(BEACON, beacon({ capabilities }), me)).toThrow(SealError);
    expect(() => seal(BEACON, beacon({ capabilities }), me)).toThrow(/ibrl\/v1\/beacon is \d+ bytes and may be 350: shorten/);
  });

  test("the longest node name and the largest values still fit", () => {
    const largest = beacon({ node: "n".repeat(128), epoch: Number.MAX_SAFE_INTEGER, sequence: 0xffffffff, queueDepth: 0xffffffff });
    expect(seal(BEACON, largest, me).length).toBeLessThanOrEqual(350);
  });
});

describe("open", () => {
  test("gives back what was sealed, the signature and the bytes themselves", () => {
    const sealed = seal(BEACON, beacon(), me);
    const opened = open(BEACON, sealed, context({ nowMs: NOW_MS + 1_500, node: beacon().node }));
    if (!opened.ok) throw new Error(opened.detail);
    expect(opened.verified.record).toEqual(beacon());
    expect(opened.verified.sealed).toEqual(sealed);
    expect(opened.verified.signature).toHaveLength(64);
    expect(opened.verified.ageMs).toBe(1_500);
    expect(opened.verified.beaconId).toBe(Buffer.from(me.publicKey.subarray(0, 8)).toString("hex"));
  });

  test("an epoch or a sequence that no process comes to is refused, so that a thief cannot use them up", () => {
    const last = Math.floor(NOW_MS / 1_000);
    expect(open(BEACON, seal(BEACON, beacon({ epoch: last }), me), context())).toMatchObject({ ok: true });
    expect(open(BEACON, seal(BEACON, beacon({ epoch: last + 1 }), me), context())).toMatchObject({ ok: false, reason: "malformed-payload", detail: expect.stringContaining("epoch") });
    expect(() => seal(BEACON, beacon({ sequence: 0x1_0000_0000 }), me)).toThrow(/^sequence: /);
    // A second after the highest that he can sign, the node is past him.
    const restarted = beacon({ epoch: last + 1, issuedAtMs: NOW_MS + 1_000 });
    expect(open(BEACON, seal(BEACON, restarted, me), context())).toMatchObject({ ok: true });
  });

  test("any record within its ranges survives the round trip, unknown staying unknown and zero zero", () => {
    const us = fc.integer({ min: 0, max: 3_600_000_000 });
    const ppm = fc.integer({ min: 0, max: 1_000_000 }).map((n) => n / 1e6);
    const record = fc.record(
      {
        latency: fc.record({ us, source: fc.constantFrom("measured" as const, "estimated" as const) }),
        jitterUs: us,
        lossRatio: ppm,
        queueDepth: fc.integer({ min: 0, max: 0xffffffff }),
        priceMicroUsdPerGb: fc.integer({ min: 0, max: 1e12 }),
        declaredReputation: ppm,
        capabilities: fc.uniqueArray(fc.constantFrom("vm", "container", "exec", "raw_exec", "zz-own"), { maxLength: 5 }).map((c) => c.sort()),
        epoch: fc.integer({ min: 1, max: Math.floor(NOW_MS / 1_000) }),
        sequence: fc.integer({ min: 0, max: 0xffffffff }),
      },
      { requiredKeys: ["capabilities", "epoch", "sequence"] },
    );
    fc.assert(
      fc.property(record, (values) => {
        const { node, datacenter, issuedAtMs, validityMs } = beacon();
        const sealed: Beacon = { node, datacenter, issuedAtMs, validityMs, ...values } as Beacon;
        const opened = open(BEACON, seal(BEACON, sealed, me), context());
        expect(opened.ok && opened.verified.record).toEqual(sealed);
      }),
      { numRuns: 200 },
    );
  });

  test("the caller may reuse its buffer", () => {
    const buffer = Buffer.from(seal(BEACON, beacon(), me));
    const opened = open(BEACON, buffer, context());
    buffer.fill(0);
    expect(opened.ok && Buffer.compare(opened.verified.sealed, seal(BEACON, beacon(), me))).toBe(0);
    expect(opened.ok && opened.verified.signature.some((byte) => byte !== 0)).toBe(true);
  });

  test.each([
    ["beacon", BEACON, seal(BEACON, beacon(), me)],
    ["state", STATE, seal(STATE, state({ workloads: [workload(1), workload(2)] }), me)],
  ] as const)("every bit of a sealed %s flipped in turn is rejected, and nothing is thrown", (_, purpose, sealed) => {
    for (let at = 0; at < sealed.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Uint8Array.from(sealed);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        expect(open<never>(purpose as never, flipped, context()).ok).toBe(false);
      }
    }
  });

  test("no input throws, and no mutated input opens", () => {
    const sealed = seal(BEACON, beacon(), me);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(sealed.length), fc.nat(sealed.length), (noise, from, to) => {
        const spliced = Buffer.concat([sealed.subarray(0, from), noise, sealed.subarray(to)]);
        const opened = open(BEACON, spliced, context());
        expect(opened.ok).toBe(Buffer.compare(spliced, sealed) === 0);
        expect(open(BEACON, noise, context()).ok).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test("a beacon is no state, and a state no beacon", () => {
    expect(reasonOf(open(STATE, seal(BEACON, beacon(), me), context()) as never)).toBe("wrong-purpose");
    expect(reasonOf(open(BEACON, seal(STATE, state(), me), context()))).toBe("wrong-purpose");
  });

  test("the signature covers domain, type, key and payload, each with its length before it, and nothing else", () => {
    const { payload, signature } = ibrl.v1.Envelope.decode(seal(BEACON, beacon(), me));
    const sized = (bytes: Uint8Array) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    };
    const signed = Buffer.concat([Buffer.from("ibrl/v1/beacon"), Buffer.from([0, 0, 0, 1]), me.publicKey, payload].flatMap(sized));
    expect(Buffer.compare(sign(null, signed, me.privateKey), signature)).toBe(0);
  });

  test("keys and signatures of other lengths are refused", () => {
    for (const change of [{ public_key: me.publicKey.subarray(1) }, { signature: new Uint8Array(63) }, { signature: new Uint8Array(0) }]) {
      const envelope = Object.assign(ibrl.v1.Envelope.decode(seal(BEACON, beacon(), me)), change);
      expect(open(BEACON, ibrl.v1.Envelope.encode(envelope).finish(), context()).ok).toBe(false);
    }
  });

  test("a signature for one domain passes for no other, even with the same type number", () => {
    const other = { ...BEACON, domain: "ibrl/v1/state" };
    expect(reasonOf(open(BEACON, seal(other, beacon(), me), context()))).toBe("bad-signature");
  });

  test("a signature over type, key or payload alone does not pass", () => {
    const payload = encodeBeacon(beacon());
    const bare = ibrl.v1.Envelope.encode({
      public_key: me.publicKey, payload_type: 1, payload, signature: sign(null, payload, me.privateKey),
    }).finish();
    expect(reasonOf(open(BEACON, bare, context()))).toBe("bad-signature");
  });

  test("the public key itself in the place of the signature does not pass, as it did with the ancestor", () => {
    const payload = encodeBeacon(beacon());
    const signature = Buffer.concat([me.publicKey, me.publicKey]);
    const forged = ibrl.v1.Envelope.encode({ public_key: me.publicKey, payload_type: 1, payload, signature }).finish();
    expect(reasonOf(open(BEACON, forged, context()))).toBe("bad-signature");
  });

  test("another's payload under one's own key does not pass", () => {
    const stolen = ibrl.v1.Envelope.decode(seal(BEACON, beacon(), me));
    stolen.public_key = identity(2).publicKey;
    expect(reasonOf(open(BEACON, ibrl.v1.Envelope.encode(stolen).finish(), context()))).toBe("bad-signature");
  });

  test("the same fields in another encoding are no envelope: one record has one byte string", () => {
    const sealed = seal(BEACON, beacon(), me);
    const unknownField = Buffer.concat([sealed, Buffer.from([0x78, 0x01])]);
    const repeated = Buffer.concat([sealed.subarray(0, 34), sealed]);
    expect(reasonOf(open(BEACON, unknownField, context()))).toBe("malformed-envelope");
    expect(reasonOf(open(BEACON, repeated, context()))).toBe("malformed-envelope");
  });

  test.each([
    ["another node's place", { node: "other" }, "wrong-node"],
    ["another datacenter", { datacenter: "dc2" }, "wrong-node"],
    ["10.001 s before it was issued", { nowMs: NOW_MS - 10_001 }, "issued-in-future"],
    ["10 s before it was issued", { nowMs: NOW_MS - 10_000 }, "opened"],
    ["at the end of its validity", { nowMs: NOW_MS + 300_000 }, "opened"],
    ["a millisecond after", { nowMs: NOW_MS + 300_001 }, "expired"],
  ])("in %s: %j → %s", (_, at, expected) => {
    expect(reasonOf(open(BEACON, seal(BEACON, beacon(), me), context(at)))).toBe(expected);
  });

  test("bytes over the purpose's size are refused before they are looked at", () => {
    expect(reasonOf(open(BEACON, new Uint8Array(351), context()))).toBe("oversized");
    expect(reasonOf(open(BEACON, new Uint8Array(350), context()))).toBe("malformed-envelope");
  });
});
