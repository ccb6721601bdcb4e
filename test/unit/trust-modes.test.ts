/** Modes and pins at the registry: whom it believes, and how that changes under its records. */
import { ALLOW_LIST, type AllowList, AllowListBook, allowListDocument } from "../../src/beacon/allow-list.js";
import { openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type Pin, PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { type TrustMode, TrustPolicy } from "../../src/beacon/trust-policy.js";
import { JUDGED_IN_PLACE } from "../../src/sidecar/key-judge.js";
import { Intake } from "../../src/sidecar/intake.js";
import { viewsOf } from "../../src/sidecar/views.js";
import { BEACON } from "../../src/beacon/envelope.js";
import { beacon, identity, NOW_MS, verifiedBeacon } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";

const a = identity(1);
const b = identity(2);
const operator = identity(200);
const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
const keys = new KeyAdmission();
const n1 = (sequence: number, by = a) => verifiedBeacon({ node: "n1", sequence }, by);
const pinOf = (node: string, by: typeof a): Pin => ({ node, datacenter: "dc1", publicKey: hex(by.publicKey), origin: "cluster" });

function reader(mode: TrustMode, pins: readonly Pin[] = []) {
  const clock = { wallMs: NOW_MS };
  const book = new PinBook(pins);
  const lists = new AllowListBook(new Set([hex(operator.publicKey)]), keys);
  const policy = new TrustPolicy(mode, book, lists, () => clock.wallMs);
  const registry = new Registry(policy);
  const allow = (serial: number, nodes: Record<string, typeof a>, more: Partial<AllowList> = {}) => {
    const record: AllowList = {
      datacenter: "dc1", serial, issuedAtMs: NOW_MS, ...more,
      nodes: Object.entries(nodes).map(([node, { publicKey }]) => ({ node, publicKey: hex(publicKey) })),
    };
    const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, record, operator), keys);
    if (!opened.ok) throw new Error(opened.detail);
    expect(lists.offer(Buffer.from(allowListDocument(opened.signed)), "dc1")).toMatchObject({ ok: true });
    registry.sweep(0);
  };
  const trust = () => [registry.byNode("n1")?.trust, registry.byNode("n1")?.detail];
  return { clock, book, policy, registry, allow, trust };
}

describe("allow-list", () => {
  test("the key that a listed one vouched for counts as listed; the listed one is given up", () => {
    const { book, registry, allow, trust } = reader("allow-list", [pinOf("n1", a)]);
    allow(1, { n1: a });
    book.follow([rotation(1, 2, 13)]);
    expect(registry.admit(verifiedBeacon({ node: "n1", epoch: 13 }, b), "meta", 0).ok).toBe(true);
    expect(trust()).toEqual(["pinned", undefined]);
    expect(registry.admit(n1(99), "event", 0)).toMatchObject({ reason: "superseded-key" });
    allow(2, { n1: identity(3) }); // the operator's word is the last
    expect(trust()[0]).toBe("pin-conflict");
  });

  test("nobody is believed without a list, however well pinned", () => {
    const { registry, trust } = reader("allow-list", [pinOf("n1", a)]);
    expect(registry.admit(n1(1), "meta", 0).ok).toBe(true);
    expect(trust()).toEqual(["unlisted", "no allow-list of an operator was read"]);
    expect(registry.list({}, 0)).toEqual([]);
  });

  test("a node is believed from the list that names it on, without another record, and not any more when it is taken off", () => {
    const { registry, allow, trust } = reader("allow-list");
    registry.admit(n1(1), "meta", 0);
    allow(1, { n2: b });
    expect(trust()).toEqual(["unlisted", "n1 is not on the allow-list, serial 1"]);
    allow(2, { n1: a, n2: b });
    expect(trust()).toEqual(["pinned", undefined]);
    expect(registry.list({}, 0)).toHaveLength(1);
    allow(3, { n2: b });
    expect(trust()[0]).toBe("unlisted");
  });

  test("another key for a listed node is a pin-conflict, and the listed one stays", () => {
    const { registry, allow, trust } = reader("allow-list");
    allow(1, { n1: a });
    registry.admit(n1(1), "meta", 0);
    expect(registry.admit(n1(9, b), "meta", 0)).toMatchObject({ ok: false, reason: "pin-conflict" });
    expect(trust()[0]).toBe("pinned");
    allow(2, { n1: b });
    expect(trust()[0]).toBe("pin-conflict");
    expect(registry.admit(n1(10, b), "meta", 0).ok).toBe(true);
    expect(trust()[0]).toBe("pinned");
    expect(registry.quarantined()).toEqual([]);
    expect(registry.size).toBe(1);
  });

  test("a listed node is not shaken by what stands in KV", () => {
    const { registry, allow, book, trust } = reader("allow-list", [pinOf("n1", a)]);
    allow(1, { n1: a });
    book.compare("dc1", [pinOf("n1", b)]);
    registry.admit(n1(1), "meta", 0);
    expect(trust()[0]).toBe("pinned");
  });

  test("a list that has ended believes nobody", () => {
    const { registry, allow, clock, trust } = reader("allow-list");
    allow(1, { n1: a }, { expiresAtMs: NOW_MS + 1_000 });
    registry.admit(n1(1), "meta", 0);
    clock.wallMs += 999;
    registry.sweep(1);
    expect(trust()[0]).toBe("pinned");
    clock.wallMs += 1;
    registry.sweep(2);
    expect(trust()).toEqual(["unlisted", expect.stringMatching(/^the allow-list, serial 1, ended at /)]);
  });

  test("it leaves the pins alone: no key is learned on first use", () => {
    const { registry, book, allow } = reader("allow-list");
    allow(1, { n1: a });
    registry.admit(n1(1), "meta", 0);
    expect(book.all()).toEqual([]);
  });
});

describe("open", () => {
  test("what is well signed is shown, whoever signs, labelled unverified, and never believed", () => {
    const { registry, book, trust } = reader("open", [pinOf("n1", b)]);
    registry.admit(n1(1), "meta", 0);
    expect(trust()).toEqual(["unverified", expect.stringMatching(/^open mode: /)]);
    expect(registry.list({}, 0)).toEqual([]);
    expect(registry.list({ verifiedOnly: false }, 0)).toHaveLength(1);
    const nodes = [{ node: "n1", nodeId: "id", datacenter: "dc1", address: "192.0.2.1" }];
    const [view] = viewsOf({ nodes, sidecars: new Map([["n1", true]]), registry, pins: book, intake: { lastRejection: () => undefined, waits: () => false }, states: new Map(), monoMs: 0 });
    expect(view).toMatchObject({ trust: "unverified", beacon: { record: { sequence: 1 } } });
    expect(book.all()).toEqual([pinOf("n1", b)]);
  });

  test("it ends with its validity like any other", () => {
    const { registry, trust } = reader("open");
    registry.admit(n1(1), "meta", 0);
    registry.setLiveness(new Map([["n1", true]]));
    registry.sweep(300_001);
    expect(trust()[0]).toBe("expired");
  });
});

describe("first use", () => {
  test("an operator's list settles the nodes that it names, the others are as pinned", () => {
    const { registry, allow, trust } = reader("first-use", [pinOf("n1", b), pinOf("n2", b)]);
    expect(registry.admit(n1(1), "meta", 0)).toMatchObject({ reason: "pin-conflict" });
    allow(1, { n1: a });
    expect(registry.admit(n1(2), "meta", 0).ok).toBe(true);
    expect(trust()[0]).toBe("pinned");
    expect(registry.admit(verifiedBeacon({ node: "n2" }, a), "meta", 0)).toMatchObject({ reason: "pin-conflict" });
  });

  test("a pin that was seen in the cluster and is gone is a conflict; put back, the node is believed again", () => {
    const { registry, book, trust } = reader("first-use");
    book.compare("dc1", [pinOf("n1", a), pinOf("n2", b)]);
    registry.admit(n1(1), "meta", 0);
    book.compare("dc1", [pinOf("n2", b)]);
    registry.sweep(1);
    expect(trust()).toEqual(["pin-conflict", "its pin, which this reader has seen, is gone from KV"]);
    expect(registry.admit(n1(9, b), "meta", 2)).toMatchObject({ reason: "pin-conflict" }); // no way back to first use
    book.compare("dc1", [pinOf("n1", a), pinOf("n2", b)]);
    registry.sweep(3);
    expect(trust()).toEqual(["pinned", undefined]);
  });

  test("a key that only this reader has seen cannot go missing from the cluster", () => {
    const { registry, book, trust } = reader("first-use");
    registry.admit(n1(1), "meta", 0);
    book.compare("dc1", []);
    registry.sweep(1);
    expect(trust()[0]).toBe("first-use");
  });

  test("pins of another datacenter are not missed here", () => {
    const book = new PinBook([pinOf("n1", a)]);
    book.compare("dc2", []);
    expect(book.dispute("n1", "dc1")).toBeUndefined();
  });

  test("a node that the operator unpinned may come back with another key", () => {
    const { registry, book, trust } = reader("first-use", [pinOf("n1", a)]);
    registry.admit(n1(1), "meta", 0);
    expect(registry.admit(n1(9, b), "meta", 1).ok).toBe(false);
    book.replace([]);
    expect(registry.admit(n1(10, b), "meta", 2).ok).toBe(true);
    expect(trust()[0]).toBe("first-use");
    expect(registry.byNode("n1")?.verified.key.hex).toBe(hex(b.publicKey));
    expect(registry.size).toBe(1);
  });
});

test("the same bytes are judged again when pins or lists change, and not before", () => {
  const { registry, policy, allow } = reader("first-use", [pinOf("n1", b)]);
  const counted: string[] = [];
  const clock = { nowMs: () => NOW_MS, monoMs: () => 0, sleep: () => Promise.resolve() };
  const intake = new Intake(registry, keys, clock, { accepted: () => counted.push("accepted"), rejected: (_c, _n, { reason }) => counted.push(reason) }, JUDGED_IN_PLACE, () => policy.version);
  const sealed = seal(BEACON, beacon({ node: "n1" }), a);
  const offer = () => intake.accept(sealed, { carrier: "meta", datacenter: "dc1", node: "n1" })?.ok;
  expect([offer(), offer()]).toEqual([false, false]);
  allow(1, { n1: a });
  expect(offer()).toBe(true);
  expect(counted).toEqual(["pin-conflict", "accepted"]);
});
