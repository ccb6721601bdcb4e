import { type Pin, PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { identity, NOW_MS, verifiedBeacon } from "../harness/records.js";

const a = identity(1);
const b = identity(2);
const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
const pinOf = (by: { publicKey: Uint8Array }, origin: Pin["origin"] = "cluster"): Pin => ({
  node: "n1", datacenter: "dc1", publicKey: hex(by.publicKey), origin,
});
const n1 = (sequence: number, by = a, more = {}) => verifiedBeacon({ node: "n1", sequence, ...more }, by);

describe("an event in the name of a node that the catalog does not have", () => {
  test("leaves nothing, in any number: no entry, no pin", () => {
    const pins = new PinBook([]);
    const registry = new Registry(pins);
    registry.setLiveness(new Map([["n1", true]]));
    for (let i = 0; i < 100; i += 1) {
      expect(registry.admit(verifiedBeacon({ node: `invented-${String(i)}` }, a), "event", 0)).toMatchObject({ ok: false, reason: "unknown-node" });
    }
    expect([registry.size, pins.all()]).toEqual([0, []]);
    expect(registry.admit(n1(1), "event", 0)).toMatchObject({ ok: true, change: "new" });
  });

  test("counts where a pin has the node: the catalog may be what cannot be read", () => {
    const registry = new Registry(new PinBook([pinOf(a)]));
    expect(registry.admit(n1(1), "event", 0)).toMatchObject({ ok: true, change: "new" });
  });
});

describe("order", () => {
  test("newer replaces, older is superseded, the same bytes again change nothing", () => {
    const registry = new Registry(new PinBook([]));
    expect(registry.admit(n1(5), "meta", 0)).toMatchObject({ ok: true, change: "new" });
    expect(registry.admit(n1(6), "event", 1)).toMatchObject({ ok: true, change: "newer" });
    expect(registry.admit(n1(6), "meta", 2)).toMatchObject({ ok: true, change: "duplicate" });
    expect(registry.admit(n1(5), "meta", 3)).toMatchObject({ ok: false, reason: "superseded" });
    expect(registry.byNode("n1")?.verified.record.sequence).toBe(6);
  });

  test("a new epoch beats any sequence, however late its clock says it was issued", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(n1(900), "meta", 0);
    const restarted = n1(1, a, { epoch: 13, issuedAtMs: NOW_MS - 60_000 });
    expect(registry.admit(restarted, "meta", 1)).toMatchObject({ ok: true, change: "newer" });
    expect(registry.admit(n1(901), "meta", 2)).toMatchObject({ reason: "superseded" });
  });

  test("two records with one sequence: both kept as evidence, the node flagged, the earlier one stays", () => {
    const registry = new Registry(new PinBook([]));
    const first = n1(5, a, { queueDepth: 1 });
    const second = n1(5, a, { queueDepth: 9 });
    registry.admit(first, "meta", 0);
    expect(registry.admit(second, "event", 1)).toMatchObject({ ok: false, reason: "equivocation" });
    const entry = registry.byNode("n1");
    expect(entry?.verified).toBe(first);
    expect(entry?.evidence).toBe(second);
    expect(entry?.trust).toBe("equivocation");
    registry.admit(n1(6), "meta", 2);
    expect(registry.byNode("n1")).toMatchObject({ trust: "equivocation", evidence: second });
    expect(registry.list({}, 3)).toEqual([]);
    registry.admit(n1(1, a, { epoch: 13 }), "meta", 4);
    expect(registry.byNode("n1")?.trust).not.toBe("equivocation");
  });
});

test("one key that speaks for two nodes: each is shown as what it said itself", () => {
  const registry = new Registry(new PinBook([]));
  registry.admit(n1(5), "meta", 0);
  registry.admit(n1(3, a, { node: "n2" }), "meta", 1);
  expect(["n1", "n2"].map((node) => registry.byNode(node)?.verified.record)).toMatchObject([{ node: "n1", sequence: 5 }, { node: "n2", sequence: 3 }]);
  expect(registry.list({}, 2).map(({ verified }) => verified.record.node)).toEqual(["n1", "n2"]);
  registry.setLiveness(new Map([["n1", true]]));
  registry.sweep(300_002);
  expect([registry.byNode("n1")?.trust, registry.byNode("n2")]).toEqual(["expired", undefined]);
});

describe("pins", () => {
  test("the first key is trusted on first use and pinned; another one is quarantined and does not unseat it", () => {
    const learned: Pin[][] = [];
    const registry = new Registry(new PinBook([], (pins) => learned.push([...pins])));
    registry.admit(n1(5), "meta", 0);
    expect(registry.byNode("n1")?.trust).toBe("first-use");
    expect(learned).toEqual([[pinOf(a, "first-use")]]);
    expect(registry.admit(n1(99, b), "meta", 1)).toMatchObject({ ok: false, reason: "pin-conflict" });
    expect(registry.byNode("n1")?.verified.key.hex).toBe(hex(a.publicKey));
    expect(registry.quarantined()).toMatchObject([{ node: "n1", publicKey: hex(b.publicKey), reason: "pin-conflict" }]);
  });

  test("a pin from before makes the node pinned, and a stranger's key a conflict from the first record on", () => {
    const registry = new Registry(new PinBook([pinOf(a)]));
    expect(registry.admit(n1(1, b), "meta", 0)).toMatchObject({ reason: "pin-conflict" });
    registry.admit(n1(1), "meta", 1);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
  });

  test("the cluster's pin confirms a key trusted on first use", () => {
    const pins = new PinBook([]);
    const registry = new Registry(pins);
    registry.admit(n1(1), "event", 0);
    pins.learn([pinOf(a)]);
    registry.admit(n1(2), "event", 1);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
  });

  test("a pin rewritten in KV is not followed: the held key stays and the node is shown in conflict", () => {
    const pins = new PinBook([pinOf(a)]);
    const registry = new Registry(pins);
    pins.learn([pinOf(b)]);
    expect(registry.admit(n1(1), "meta", 0)).toMatchObject({ ok: true });
    expect(registry.byNode("n1")?.trust).toBe("pin-conflict");
    expect(registry.admit(n1(1, b), "meta", 1)).toMatchObject({ reason: "pin-conflict" });
    pins.learn([pinOf(a)]);
    registry.admit(n1(2), "meta", 2);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
  });

  test("the 8-byte ID of a pinned key under another whole key is quarantined; the pinned one stays", () => {
    // Real collisions cost 2^32 work: the pin is given the ID by hand, the record is real.
    const twin = hex(a.publicKey).slice(0, 16) + hex(b.publicKey).slice(16);
    const registry = new Registry(new PinBook([{ node: "elder", datacenter: "dc1", publicKey: twin, origin: "cluster" }]));
    expect(registry.admit(n1(1), "meta", 0)).toMatchObject({ ok: false, reason: "id-collision" });
    expect(registry.byNode("n1")).toBeUndefined();
    expect(registry.quarantined()).toMatchObject([{ node: "n1", reason: "id-collision" }]);
  });
});

describe("age and liveness", () => {
  test("a record ends after its validity by the monotonic clock, not before, and not by a stepped wall clock", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(n1(1), "meta", 1_000);
    registry.setLiveness(new Map([["n1", false]]));
    expect(registry.sweep(301_000)).toEqual({ expired: [], forgotten: [] });
    expect(registry.list({}, 301_000)).toHaveLength(1);
    expect(registry.sweep(301_001)).toEqual({ expired: ["n1"], forgotten: [] });
    expect(registry.list({}, 301_001)).toEqual([]);
    expect(registry.byNode("n1")?.trust).toBe("expired");
  });

  test("what was old when it came has only the rest of its validity", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(verifiedBeacon({ node: "n1" }, a, { nowMs: NOW_MS + 299_000 }), "kv", 0);
    registry.setLiveness(new Map([["n1", true]]));
    expect(registry.sweep(1_000).expired).toEqual([]);
    expect(registry.sweep(1_001).expired).toEqual(["n1"]);
  });

  test("a clock that runs ahead buys no longer life", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(verifiedBeacon({ node: "n1", issuedAtMs: NOW_MS + 9_000 }, a, { nowMs: NOW_MS }), "kv", 0);
    registry.setLiveness(new Map([["n1", true]]));
    expect(registry.sweep(300_001).expired).toEqual(["n1"]);
  });

  test("a quiet node is not a dead node: liveness is Consul's alone", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(n1(1), "meta", 0);
    expect(registry.byNode("n1")?.alive).toBeUndefined();
    registry.setLiveness(new Map([["n1", true]]));
    expect(registry.list({ aliveOnly: true }, 299_000)).toHaveLength(1);
    registry.setLiveness(new Map());
    expect(registry.list({ aliveOnly: true }, 299_000)).toHaveLength(0);
  });

  test("what Consul no longer knows is forgotten once it is over its age; what it knows is shown as expired", () => {
    const registry = new Registry(new PinBook([]));
    registry.admit(n1(1), "meta", 0);
    registry.setLiveness(new Map());
    expect(registry.sweep(300_001)).toEqual({ expired: ["n1"], forgotten: ["n1"] });
    expect(registry.size).toBe(0);
    expect(registry.byNode("n1")).toBeUndefined();
  });

  test("an expired node that speaks again is believed again", () => {
    const registry = new Registry(new PinBook([pinOf(a)]));
    registry.admit(n1(1), "meta", 0);
    registry.setLiveness(new Map([["n1", true]]));
    registry.sweep(400_000);
    registry.admit(n1(2), "meta", 400_001);
    expect(registry.byNode("n1")?.trust).toBe("pinned");
  });
});

describe("filters", () => {
  const registry = new Registry(new PinBook([]), (key) => (key === hex(a.publicKey) ? 0.8 : undefined));
  registry.admit(verifiedBeacon({ node: "near", latency: { us: 900, source: "measured" } }, a), "meta", 0);
  const { latency: _, ...unknown } = verifiedBeacon({ node: "dark" }, b).record;
  registry.admit(verifiedBeacon({ ...unknown, latency: undefined } as never, b), "meta", 50);
  const names = (filter: Parameters<Registry["list"]>[0], at = 100) => registry.list(filter, at).map((e) => e.verified.record.node).sort();

  test("an unknown latency passes no latency limit, an unknown reputation no minimum", () => {
    expect(names({})).toEqual(["dark", "near"]);
    expect(names({ maxLatencyUs: 900 })).toEqual(["near"]);
    expect(names({ maxLatencyUs: 899 })).toEqual([]);
    expect(names({ minReputation: 0 })).toEqual(["near"]);
    expect(names({ minReputation: 0.81 })).toEqual([]);
  });

  test("last seen", () => {
    expect(names({ seenWithinMs: 50 })).toEqual(["dark"]);
    expect(names({ seenWithinMs: 100 })).toEqual(["dark", "near"]);
  });

  test("verified only, unless asked otherwise", () => {
    expect(names({}, 400_000)).toEqual([]);
    expect(names({ verifiedOnly: false }, 400_000)).toEqual(["dark", "near"]);
  });
});
