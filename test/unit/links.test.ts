/** Links as a reader joins them, from states that were really sealed and opened. */
import { type LinkView, linksOf, linksOfNode } from "../../src/beacon/links.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { bareView, fullView } from "../harness/node-views.js";
import { bothEnds, coordinateAt, exchange, type Fate, halfAbout, linkedView, recordOf, reflecting } from "../harness/links.js";
import { NOW_MS } from "../harness/records.js";

const clean = bothEnds(Array.from<Fate>({ length: 64 }).fill("back"));
const outgoing = recordOf(clean.sender, 64);
const incoming = recordOf(clean.reflector, 64);
const only = (views: readonly NodeView[], nowMs = NOW_MS): LinkView => {
  const links = linksOf(views, nowMs);
  expect(links).toHaveLength(1);
  return links[0] as LinkView;
};

test("two halves whose exchanges agree: agreed, with the word of each end and the worse of both", () => {
  const back = { ...outgoing, session: 78 };
  const a = linkedView(1, [halfAbout(2, { outgoing })]);
  const b = linkedView(2, [
    halfAbout(1, { incoming, outgoing: back, rtt: { minUs: 9_500, p50Us: 11_000, p95Us: 11_500, p99Us: 12_000 }, endMs: NOW_MS - 4_000, jitterUs: 300, duplicates: 2, reordered: 1, longestBurst: 3 }),
  ]);
  const link = only([a, b]);
  expect(link).toMatchObject({
    a: { name: "node-1" }, b: { name: "node-2" }, state: "agreed", probedBy: "both",
    rtt: { p50Us: 11_000, p95Us: 12_000 }, jitterUs: 500, lossRatio: 0, aToBLossRatio: 0, bToALossRatio: 0, ageMs: 4_000,
    fromA: { ageMs: 1_000, loss: { ratio: 0 }, joined: { sent: 64, compared: 64 }, half: { pdv: { p95Us: 3_000 } } },
    fromB: { ageMs: 4_000, half: { duplicates: 2, reordered: 1, longestBurst: 3 } },
  });
  expect(link).not.toHaveProperty("reason");
  expect(link.fromB).not.toHaveProperty("joined");
});

test("disputed by hash: one end shifted a time", () => {
  const shifted = clean.sender.map((item) => (item.sequence === 33 ? { ...item, answered: item.answered + 1n } : item));
  const link = only([linkedView(1, [halfAbout(2, { outgoing: recordOf(shifted, 64) })]), linkedView(2, [reflecting(1, incoming)])]);
  expect(link).toMatchObject({ state: "disputed", reason: "hash-mismatch", probedBy: "a", rtt: { p50Us: 10_000 } });
});

test("disputed by round trips that are too far apart, and the larger one is shown", () => {
  const slow = { minUs: 9_000, p50Us: 30_000, p95Us: 40_000, p99Us: 50_000 };
  const link = only([linkedView(1, [halfAbout(2, { outgoing })]), linkedView(2, [halfAbout(1, { incoming, rtt: slow })])]);
  expect(link).toMatchObject({ state: "disputed", reason: "rtt-apart", rtt: { p50Us: 30_000, p95Us: 40_000 } });
});

test("one end's word alone is unconfirmed, whichever end it is, and says whose", () => {
  expect(only([linkedView(1, [halfAbout(2, { outgoing })]), linkedView(2, [])])).toMatchObject({ state: "unconfirmed", probedBy: "a", fromA: {}, rtt: {} });
  const fromB = only([linkedView(1, []), linkedView(2, [halfAbout(1, { outgoing })])]);
  expect(fromB).toMatchObject({ state: "unconfirmed", probedBy: "b", fromB: { loss: { ratio: 0 } } });
  expect(fromB).not.toHaveProperty("fromA");
});

test("an end that only reflects confirms the other's probes, and has no values of its own", () => {
  const link = only([linkedView(1, [halfAbout(2, { outgoing })]), linkedView(2, [reflecting(1, incoming)])]);
  expect(link).toMatchObject({ state: "agreed", probedBy: "a", fromB: { half: { sent: 0 } } });
  expect(link.fromB).not.toHaveProperty("loss");
});

test("a half that names another key than the peer's own does not count", () => {
  const about9 = halfAbout(9, { peer: "node-2", outgoing });
  const link = only([linkedView(1, [about9]), linkedView(2, [reflecting(1, incoming)])]);
  expect(link).toMatchObject({ state: "unknown" });
  expect(link).not.toHaveProperty("fromA");
  expect(link).not.toHaveProperty("rtt");
});

test.each(["expired", "pin-conflict", "equivocation", "unverified", "no-sidecar"] as const)("a node that is %s has no link, whatever its view holds", (trust) => {
  const a = linkedView(1, [halfAbout(2, { outgoing }), halfAbout(3)]);
  const b = linkedView(2, [halfAbout(1, { incoming })], {}, { trust });
  expect(linksOf([a, b, bareView("node-7"), linkedView(3, [])], NOW_MS).map((link) => [link.a.name, link.b.name])).toEqual([["node-1", "node-3"]]);
});

test("a state over its validity says nothing any more, nor does a half of long ago in a fresh state", () => {
  const stale = linkedView(1, [halfAbout(2, { outgoing })]);
  const later = NOW_MS + 300_001;
  expect(only([stale, linkedView(2, [], { issuedAtMs: later })], later)).toMatchObject({ state: "unknown" });
  const kept = linkedView(1, [halfAbout(2, { outgoing, startMs: NOW_MS - 400_000, endMs: NOW_MS - 300_001 })]);
  expect(only([kept, linkedView(2, [])])).toMatchObject({ state: "unknown" });
  const early = linkedView(1, [halfAbout(2, { outgoing, endMs: NOW_MS + 10_001 })]);
  expect(only([early, linkedView(2, [])])).toMatchObject({ state: "unknown" });
});

test("of two halves about one peer the newer counts", () => {
  const old = halfAbout(2, { endMs: NOW_MS - 90_000, startMs: NOW_MS - 120_000, jitterUs: 1 });
  for (const halves of [[old, halfAbout(2)], [halfAbout(2), old]]) expect(only([linkedView(1, halves), linkedView(2, [])])).toMatchObject({ jitterUs: 500 });
});

test("a key that speaks for two nodes identifies neither end", () => {
  const twin = linkedView(2, [reflecting(1, incoming)], { node: "node-twin" });
  const links = linksOf([linkedView(1, [halfAbout(2, { outgoing })]), linkedView(2, [reflecting(1, incoming)]), twin], NOW_MS);
  expect(links.map(({ state }) => state)).toEqual(["unknown", "unknown", "unknown"]);
});

describe("what nobody probes", () => {
  test("is estimated from the two signed coordinates, and is as old as the older state", () => {
    const link = only([linkedView(1, [], { coordinate: coordinateAt(1), issuedAtMs: NOW_MS - 20_000 }), linkedView(2, [], { coordinate: coordinateAt(8) })]);
    expect(link).toMatchObject({ state: "estimated", estimateUs: 7_000, ageMs: 20_000 });
    expect(link).not.toHaveProperty("rtt");
    expect(link).not.toHaveProperty("probedBy");
  });

  test("is unknown with fewer, and without a state at all", () => {
    const { state: _, ...unread } = fullView({ name: "node-2", key: 2 });
    expect(only([linkedView(1, [], { coordinate: coordinateAt(1) }), linkedView(2, [])])).toMatchObject({ state: "unknown" });
    const link = only([linkedView(1, [], { coordinate: coordinateAt(1) }), unread]);
    expect(link).toMatchObject({ state: "unknown" });
    expect(Object.keys(link).sort()).toEqual(["a", "b", "state"]);
  });
});

test("a link on which nothing comes back is unmeasured with loss 1, and no estimate stands in for it", () => {
  const a = linkedView(1, [halfAbout(2, { received: 0, longestBurst: 64 })], { coordinate: coordinateAt(1) });
  const link = only([a, linkedView(2, [], { coordinate: coordinateAt(2) })]);
  expect(link).toMatchObject({ state: "unconfirmed", lossRatio: 1, estimateUs: 1_000 });
  for (const absent of ["rtt", "aToBLossRatio", "bToALossRatio", "jitterUs"]) expect(link).not.toHaveProperty(absent);
});

describe("loss by direction", () => {
  const half = (parts: Parameters<typeof halfAbout>[1]): LinkView => only([linkedView(1, [halfAbout(2, parts)]), linkedView(2, [])]);

  test("is that of the reflector's own sequence where it explains the loss", () => {
    const link = half({ sent: 100, received: 90, direction: { forwardLost: 2, backwardLost: 8 } });
    expect(link).toMatchObject({ lossRatio: 0.1, aToBLossRatio: 0.02 });
    expect(link.bToALossRatio).toBeCloseTo(8 / 98, 9); // of the 98 that were answered
  });

  test("is unknown where most of the loss is undetermined, and zero where nothing was lost", () => {
    expect(half({ sent: 100, received: 90, direction: { forwardLost: 2, backwardLost: 0 } })).not.toHaveProperty("aToBLossRatio");
    expect(half({ sent: 100, received: 90 })).not.toHaveProperty("bToALossRatio");
    expect(half({ sent: 100, received: 99, direction: { forwardLost: 40, backwardLost: 40 } })).toMatchObject({ lossRatio: 0.01 });
    expect(half({ sent: 100, received: 100 })).toMatchObject({ aToBLossRatio: 0, bToALossRatio: 0 });
  });

  test("is told by the exchanges of both ends where one way is dead and no answer comes back", () => {
    // a to b is cut: b's probes reach a, whose answers are lost; a's own probes never arrive, and b's last words on them are old.
    const dead = bothEnds(Array.from<Fate>({ length: 64 }).fill("backward"));
    const before = bothEnds(Array.from<Fate>({ length: 128 }).fill("back"));
    const a = halfAbout(2, { sent: 60, received: 0, outgoing: recordOf(before.sender.slice(0, 64), 128), incoming: recordOf(dead.reflector, 64, 78) });
    const b = halfAbout(1, { sent: 60, received: 0, outgoing: recordOf(dead.sender, 64, 78), incoming: recordOf(before.reflector.slice(0, 64), 64) });
    expect(only([linkedView(1, [a]), linkedView(2, [b])])).toMatchObject({ lossRatio: 1, aToBLossRatio: 1, bToALossRatio: 0 });
  });
});

test("pairs come once, in the order of the nodes; a node's own links have it first", () => {
  const views = [1, 2, 3].map((seed) => linkedView(seed, []));
  const names = (links: readonly LinkView[]): string[] => links.map(({ a, b }) => `${a.name} ${b.name}`);
  expect(names(linksOf(views, NOW_MS))).toEqual(["node-1 node-2", "node-1 node-3", "node-2 node-3"]);
  expect(names(linksOfNode(views[1] as NodeView, views, NOW_MS))).toEqual(["node-2 node-1", "node-2 node-3"]);
  expect(linksOfNode(bareView("node-9"), views, NOW_MS)).toEqual([]);
  expect(linksOf([], NOW_MS)).toEqual([]);
});

describe("one end that lies is found out through the whole path", () => {
  // Probe 20 never arrived, the answers to 21 and 22 were lost; everything else came back.
  const fates = Array.from({ length: 64 }, (_, i): Fate => (i === 20 ? "forward" : i === 21 || i === 22 ? "backward" : "back"));
  const truth = bothEnds(fates);
  const honest = { a: halfAbout(2, { received: 61, direction: { forwardLost: 1, backwardLost: 2 } }), b: reflecting(1) };
  const told = (sender: typeof truth.sender, reflector: typeof truth.reflector, claims = {}): LinkView =>
    only([linkedView(1, [{ ...honest.a, outgoing: recordOf(sender, 64), ...claims }]), linkedView(2, [{ ...honest.b, incoming: recordOf(reflector, 64) }])]);
  const { direction: _, ...claimsNoLoss } = { ...honest.a, received: 64 };
  const spotless = { ...claimsNoLoss, outgoing: recordOf(truth.sender, 64) };

  test("the honest account agrees, with the loss of each way", () => {
    expect(told(truth.sender, truth.reflector)).toMatchObject({
      state: "agreed", lossRatio: 3 / 64, aToBLossRatio: 1 / 64, bToALossRatio: 2 / 63, fromA: { joined: { forwardLost: 1, backwardLost: 2 } },
    });
  });

  test("inventing an answer to a probe that never arrived", () => {
    expect(told([...truth.sender, exchange(20)], truth.reflector, { received: 62 })).toMatchObject({ state: "disputed", reason: "unanswered-claim" });
  });

  test("inventing answers that were lost on their way back: their T3 cannot be known", () => {
    const invented = [21, 22].map((sequence) => ({ ...exchange(sequence), answered: exchange(sequence).sent + 1n }));
    expect(told([...truth.sender, ...invented], truth.reflector, { received: 63 })).toMatchObject({ state: "disputed", reason: "hash-mismatch" });
  });

  test("the sender dropping slow answers: they count as its own link's loss", () => {
    const slow = new Set([3, 17, 50]);
    const link = told(truth.sender.filter(({ sequence }) => !slow.has(sequence)), truth.reflector);
    expect(link).toMatchObject({ lossRatio: 6 / 64, bToALossRatio: 5 / 63, fromA: { joined: { backwardLost: 5 } } });
  });

  test("the sender leaving lost probes out of its counts: its own exchanges show them", () => {
    const link = only([linkedView(1, [spotless]), linkedView(2, [{ ...honest.b, incoming: recordOf(truth.reflector, 64) }])]);
    expect(link).toMatchObject({ lossRatio: 3 / 64, aToBLossRatio: 1 / 64, fromA: { half: { received: 64 } } });
  });

  test("the reflector dropping answers that it gave", () => {
    expect(told(truth.sender, truth.reflector.filter(({ sequence }) => sequence !== 5))).toMatchObject({ state: "disputed", reason: "unanswered-claim" });
  });

  test.each(["sender", "reflector"] as const)("the %s shifting its times", (liar) => {
    const shifted = truth[liar].map((item) => ({ ...item, answered: item.answered - 300n }));
    expect(told(liar === "sender" ? shifted : truth.sender, liar === "reflector" ? shifted : truth.reflector)).toMatchObject({ state: "disputed", reason: "hash-mismatch" });
  });

  test("withholding exchanges earns no agreement", () => {
    expect(only([linkedView(1, [spotless]), linkedView(2, [honest.b])])).toMatchObject({ state: "unconfirmed", lossRatio: 0 });
  });
});
