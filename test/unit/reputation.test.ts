/** Reputation from states that were really sealed and opened. What colluders can do to it is in reputation-bound.test.ts. */
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type Reputations, reputationsOf, type ScoredNode } from "../../src/beacon/reputation.js";
import { ExportError, exportOf, openExport, parseExport, reputationBytes, reputationHash } from "../../src/beacon/reputation-document.js";
import { reputationsFrom } from "../../src/beacon/reputation-views.js";
import { keyOf } from "../harness/links.js";
import { mesh, observation, type Observed, signedState } from "../harness/observers.js";
import { NOW_MS } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";

const of = (reputations: Reputations, seed: number): ScoredNode | undefined => reputations.nodes.find(({ key }) => key === keyOf(seed));
const scores = (reputations: Reputations): (number | undefined)[] => reputations.nodes.map(({ scorePpm }) => scorePpm);

test("where everybody answers and both ends agree, everybody has the whole score, by the votes of all others", () => {
  const reputations = reputationsOf(mesh(5));
  expect(reputations).toMatchObject({ observing: 5, quorum: 3 });
  expect(reputations.nodes.map(({ scorePpm, observers }) => [scorePpm, observers])).toEqual(Array(5).fill([1_000_000, 4]));
});

test("lost probes and silent chunks lower it: three parts answered probes, one part chunks with an answer", () => {
  const lossy = (_from: number, to: number): Observed => (to === 1 ? { received: 48 } : {});
  expect(of(reputationsOf(mesh(4, lossy)), 1)).toMatchObject({ scorePpm: (3 * 750_000 + 1_000_000) / 4 });
  const silent = mesh(4).map((state, i) =>
    i === 0 ? state : signedState(i + 1, (state.record.links ?? []).map((half) => {
      const { outgoing } = half;
      return half.peerKey !== keyOf(1) || outgoing === undefined ? half : { ...half, received: 32, outgoing: { ...outgoing, chunks: outgoing.chunks.slice(0, 2) } };
    })),
  );
  expect(of(reputationsOf(silent), 1)).toMatchObject({ scorePpm: (3 * 500_000 + 500_000) / 4 });
});

test("a liar that invents exchanges is found out: its peers' ends contradict it, they keep their score", () => {
  const reputations = reputationsOf(mesh(5, (from) => (from === 2 ? { exchanges: "forged" } : {})));
  expect(of(reputations, 2)).toMatchObject({ scorePpm: 0 });
  for (const honest of [1, 3, 4, 5]) expect(of(reputations, honest)).toMatchObject({ scorePpm: 1_000_000 });
});

test("withholding exchanges earns half, not the whole", () => {
  expect(of(reputationsOf(mesh(4, (from) => (from === 2 ? { exchanges: "none" } : {}))), 2)).toMatchObject({ scorePpm: 500_000 });
});

test("what a node says of itself does not count", () => {
  const states = mesh(4, (_from, to) => (to === 1 ? { received: 0 } : {}));
  const praising = [signedState(1, [...(states[0]?.record.links ?? []), observation(1)]), ...states.slice(1)];
  expect(of(reputationsOf(praising), 1)).toMatchObject({ scorePpm: 250_000, observers: 3 });
});

test("below the minimum of observers, and below two thirds of those who observe, the score is unknown", () => {
  expect(scores(reputationsOf(mesh(3)))).toEqual([undefined, undefined, undefined]);
  expect(reputationsOf(mesh(3)).nodes.map(({ observers }) => observers)).toEqual([2, 2, 2]);
  const sparse = reputationsOf(mesh(9, (from, to) => ((to - from + 9) % 9 <= 6 ? {} : null)));
  expect(sparse).toMatchObject({ observing: 9, quorum: 7 });
  expect(scores(sparse)).toEqual(Array(9).fill(undefined));
  expect(reputationsOf([])).toEqual({ records: [], observing: 0, quorum: 3, nodes: [] });
});

test("fewer than ten probes are no observation yet", () => {
  expect(scores(reputationsOf(mesh(4, () => ({ sent: 9 }))))).toEqual([undefined, undefined, undefined, undefined]);
});

test("an observer of low standing has no vote where enough others are left", () => {
  // 5 is bad to all, and speaks badly of 1; without its vote three of 1's four observers are left.
  const states = mesh(5, (from, to) => (to === 5 ? { received: 0 } : to === 1 && (from === 5 || from === 4) ? { received: 32 } : {}));
  const reputations = reputationsOf(states);
  expect(of(reputations, 5)).toMatchObject({ scorePpm: 250_000 });
  expect(of(reputations, 1)).toMatchObject({ scorePpm: 1_000_000, observers: 3 });
});

test("halves of long before the record, or after it, do not count; of two the newer does", () => {
  const stale = mesh(4).map(({ record }, i) => signedState(i + 1, (record.links ?? []).map((half) => ({ ...half, startMs: NOW_MS - 400_000, endMs: NOW_MS - 300_001 }))));
  expect(reputationsOf(stale)).toMatchObject({ observing: 0 });
  const twice = mesh(4).map(({ record }, i) => signedState(i + 1, (record.links ?? []).flatMap((half) => [{ ...half, endMs: NOW_MS - 20_000, received: 0 }, half].map(({ rtt, ...rest }) => (rest.received === 0 || rtt === undefined ? rest : { ...rest, rtt })))));
  expect(scores(reputationsOf(twice))).toEqual(Array(4).fill(1_000_000));
});

test("a key that speaks for two nodes has no score, and no vote", () => {
  const states = mesh(5);
  const twin = signedState(2, states[1]?.record.links ?? [], { node: "node-twin" });
  const reputations = reputationsOf([...states, twin]);
  expect(of(reputations, 2)).toBeUndefined();
  expect(of(reputations, 1)).toMatchObject({ observers: 3 });
});

test("reputation outlives a rotation of keys where identities do", () => {
  // Node 1 goes on with key 9; its peers' halves still name the old key.
  const states = mesh(4);
  const rotated = [signedState(9, states[0]?.record.links ?? [], { node: "node-1", epoch: 13 }), ...states.slice(1)];
  expect(of(reputationsOf(rotated), 9)).toMatchObject({ observers: 0 });
  const lineage = (key: string): string => (key === keyOf(9) ? keyOf(1) : key);
  const reputations = reputationsOf(rotated, { identityOf: lineage });
  expect(of(reputations, 9)).toMatchObject({ identity: keyOf(1), scorePpm: 1_000_000, observers: 3 });
  // The old record beside the new one is the same node, and the newer speaks.
  expect(of(reputationsOf([...rotated, ...states.slice(0, 1)], { identityOf: lineage }), 9)).toMatchObject({ scorePpm: 1_000_000 });
});

describe("work that ran or failed", () => {
  /** `ran` and `failed` on node 1, signed by each of these as they probe. */
  const placedBy = (observers: readonly number[], ran: number, failed: number, states = mesh(4)) =>
    states.map((verified, i) => (observers.includes(i + 1) ? signedState(i + 1, verified.record.links ?? [], { workOutcomes: [{ peerKey: keyOf(1), ran, failed }] }) : verified));

  test("is half of an observer's vote, and the whole of one that does not probe", () => {
    expect(of(reputationsOf(placedBy([2, 3, 4], 1, 1)), 1)).toMatchObject({ scorePpm: 750_000 });
    const unprobed = mesh(4, (_from, to) => (to === 1 ? null : {}));
    expect(of(reputationsOf(placedBy([2, 3, 4], 3, 1, unprobed)), 1)).toMatchObject({ scorePpm: 750_000, observers: 3 });
  });

  test("of oneself says nothing", () => {
    expect(of(reputationsOf(placedBy([1], 0, 9)), 1)).toMatchObject({ scorePpm: 1_000_000 });
  });

  test("by one placer moves no score past what the others say", () => {
    expect(of(reputationsOf(placedBy([2], 0, 64)), 1)).toMatchObject({ scorePpm: 1_000_000 });
  });

  test("under an old key is the identity's", () => {
    const states = placedBy([2, 3, 4], 1, 1);
    const rotated = [signedState(9, states[0]?.record.links ?? [], { node: "node-1", epoch: 13 }), ...states.slice(1)];
    expect(of(reputationsOf(rotated, { identityOf: (key) => (key === keyOf(9) ? keyOf(1) : key) }), 9)).toMatchObject({ scorePpm: 750_000 });
  });
});

describe("the same bytes on any machine", () => {
  const states = mesh(6, (from, to) => ({ received: 40 + ((from * 7 + to * 3) % 25) }));

  test("whatever the order of the records", () => {
    const bytes = reputationBytes(reputationsOf(states));
    expect(reputationBytes(reputationsOf([...states].reverse()))).toEqual(bytes);
    expect(bytes.at(-1)).toBe(10);
    expect(Buffer.from(bytes).toString()).not.toMatch(/[\d]\.[\d]/); // integers only
  });

  test("from an export that went through a file", () => {
    const text = JSON.stringify(exportOf({ states, rotations: [] }, { datacenter: "dc1", readAtMs: NOW_MS }));
    const again = openExport(parseExport(text), new KeyAdmission(), 10_000);
    expect(reputationHash(reputationsFrom(again))).toBe(reputationHash(reputationsOf(states)));
  });

  test("of a node that rotated its key: its rotation is in the export, and one that does not verify is refused", () => {
    const rotated = [signedState(9, states[0]?.record.links ?? [], { node: "node-1", epoch: 13 }), ...states.slice(1)];
    const rotations = [rotation(1, 9, 13, "node-1")];
    const text = JSON.stringify(exportOf({ states: rotated, rotations }, { datacenter: "dc1", readAtMs: NOW_MS }));
    const again = reputationsFrom(openExport(parseExport(text), new KeyAdmission(), 10_000));
    expect(of(again, 9)).toMatchObject({ identity: keyOf(1), observers: 5 });
    expect(of(reputationsFrom({ states: rotated, rotations: [] }), 9)).toMatchObject({ identity: keyOf(9), observers: 0 });
    for (const forged of [{ node: "node-2" }, { byNew: "" }]) {
      const changed = parseExport(text);
      changed.rotations = changed.rotations.map((row) => ({ ...row, ...forged }));
      expect(() => openExport(changed, new KeyAdmission(), 10_000)).toThrow(/rotation of "node-[12]" does not verify/);
    }
  });

  test("another record gives other bytes", () => {
    expect(reputationHash(reputationsOf(states.slice(1)))).not.toBe(reputationHash(reputationsOf(states)));
  });

  test("an export that was changed, or is none, is refused by name", () => {
    const exported = exportOf({ states, rotations: [] }, { datacenter: "dc1", readAtMs: NOW_MS });
    const renamed = { ...exported, records: exported.records.map((record) => ({ ...record, node: "node-9" })) };
    expect(() => openExport(renamed, new KeyAdmission(), 10_000)).toThrow(/"node-9" does not verify: wrong-node/);
    const [first] = exported.records;
    const sealedState = `${first?.sealedState.startsWith("A") === true ? "B" : "A"}${first?.sealedState.slice(1) ?? ""}`;
    expect(() => openExport({ ...exported, records: [{ node: "node-1", sealedState }] }, new KeyAdmission(), 10_000)).toThrow(ExportError);
    expect(() => openExport({ ...exported, readAtMs: NOW_MS + 300_001 }, new KeyAdmission(), 10_000)).toThrow(/expired/);
    for (const text of ["", "null", "[]", "{}", JSON.stringify({ ...exported, records: [{}] }), JSON.stringify({ ...exported, servedSha256: "x" })]) {
      expect(() => parseExport(text)).toThrow(ExportError);
    }
  });
});
