/** The estimate agrees with Serf's own arithmetic, and says nothing where there is nothing to say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Member, NodeCoordinate } from "../../src/sidecar/consul-api.js";
import { isInitial, signedCoordinate, signedDistanceUs } from "../../src/beacon/coordinate.js";
import { estimateLatency, estimateRttUs } from "../../src/sidecar/readings/coordinates.js";

type Coordinate = Omit<NodeCoordinate, "node">;
const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../../test/vectors/serf-coordinates.json"), "utf8"),
) as { cases: { a: Coordinate; b: Coordinate; rttNs: number }[] };

const seconds = fc.double({ min: -1, max: 1, noNaN: true });
const coordinate = fc.record({
  vector: fc.array(seconds, { minLength: 8, maxLength: 8 }),
  error: fc.double({ min: 0, max: 1.49, noNaN: true }),
  adjustment: seconds,
  height: fc.double({ min: 10e-6, max: 1, noNaN: true }),
});

/** A coordinate on a line, `ms` from the origin. */
function at(ms: number, change: Partial<Coordinate> = {}): Coordinate {
  return { vector: [ms / 1000, 0, 0], error: 0.2, adjustment: 0, height: 0, ...change };
}
const INITIAL = at(0, { error: 1.5, height: 10e-6 });
const alive = (...names: string[]): Member[] => names.map((name) => ({ name, address: "192.0.2.1", status: "alive" }));

test.each(vectors.cases.map((c, i) => ({ ...c, i })))("case $i gives Serf's own nanoseconds", ({ a, b, rttNs }) => {
  expect(estimateRttUs(a, b)).toBe(rttNs / 1000);
});

test("the estimate is finite and not negative, and symmetric to the nanosecond, for any coordinates", () => {
  fc.assert(
    fc.property(coordinate, coordinate, (a, b) => {
      const rttUs = estimateRttUs(a, b);
      // Serf adds the heights in the order of the ends: the last digit of the sum may differ, and with it what is cut off.
      expect(Math.abs((rttUs ?? Number.NaN) - (estimateRttUs(b, a) ?? Number.NaN))).toBeLessThan(0.0015);
      expect(rttUs).toBeGreaterThanOrEqual(0);
      expect(Number.isFinite(rttUs)).toBe(true);
    }),
  );
});

test.each<[string, Coordinate, Coordinate, number | undefined]>([
  ["distance", at(0), at(10), 10_000],
  ["heights are added", at(0, { height: 0.001 }), at(10, { height: 0.002 }), 13_000],
  ["adjustments are added", at(0, { adjustment: -0.001 }), at(10, { adjustment: -0.002 }), 7_000],
  ["adjustments that leave nothing are left out", at(0, { adjustment: -0.005 }), at(10, { adjustment: -0.005 }), 10_000],
  ["adjustments below zero are left out", at(0, { adjustment: -1 }), at(10), 10_000],
  ["nanoseconds are cut, not rounded", at(0, { vector: [0, 0, 0] }), at(0, { vector: [1.9999e-9, 0, 0] }), 0.001],
  ["a coordinate that has seen nothing", INITIAL, at(10), undefined],
  ["the other one has seen nothing", at(10), INITIAL, undefined],
  ["at the origin but with an error below the first", at(0), at(10), 10_000],
  ["a high error away from the origin", at(5, { error: 1.5 }), at(10), 5_000],
  ["other dimensions", at(0), at(10, { vector: [0.01, 0] }), undefined],
  ["no dimensions", at(0, { vector: [] }), at(0, { vector: [] }), undefined],
  ["NaN in a vector", at(0), at(10, { vector: [Number.NaN, 0, 0] }), undefined],
  ["an infinite height", at(0), at(10, { height: Infinity }), undefined],
  ["a NaN adjustment", at(0), at(10, { adjustment: Number.NaN }), undefined],
  ["a NaN error", at(0, { error: Number.NaN }), at(10), undefined],
  ["finite, but the distance is not", at(0, { vector: [1e200, 0, 0] }), at(0, { vector: [-1e200, 0, 0] }), undefined],
  ["a negative length", at(0, { height: -1 }), at(10), undefined],
])("%s", (_, a, b, rttUs) => {
  if (rttUs === undefined) expect(estimateRttUs(a, b)).toBeUndefined();
  else expect(estimateRttUs(a, b)).toBeCloseTo(rttUs, 3);
});

test("a coordinate is initial with Serf's first error at the origin only", () => {
  expect(isInitial(INITIAL)).toBe(true);
  expect(isInitial(at(0, { error: 1.4999 }))).toBe(false);
  expect(isInitial(at(1, { error: 1.5 }))).toBe(false);
});

describe("as it is signed, in nanoseconds", () => {
  test("the estimate is the one of the seconds, to the rounding of each part", () => {
    fc.assert(
      fc.property(coordinate, coordinate, (a, b) => {
        const [signedA, signedB] = [signedCoordinate(a), signedCoordinate(b)];
        const rttUs = signedA === undefined || signedB === undefined ? undefined : signedDistanceUs(signedA, signedB);
        // Where the adjustments leave almost nothing, rounding decides whether they count at all.
        const adjustedS = Math.hypot(...a.vector.map((x, i) => x - (b.vector[i] ?? 0))) + a.height + b.height + a.adjustment + b.adjustment;
        fc.pre(Math.abs(adjustedS) > 1e-8);
        expect(Math.abs((rttUs ?? Number.NaN) - (estimateRttUs(a, b) ?? Number.NaN))).toBeLessThan(0.01);
      }),
    );
  });

  test("one that has seen nothing, or is not finite, is not signed and estimates nothing", () => {
    expect(signedCoordinate(INITIAL)).toBeUndefined();
    expect(signedCoordinate(at(1, { height: Number.NaN }))).toBeUndefined();
    const initial = { vectorNs: [0, 0, 0], adjustmentNs: 0, heightNs: 10_000, errorRatio: 1.5 };
    const other = { vectorNs: [10_000_000, 0, 0], adjustmentNs: 0, heightNs: 0, errorRatio: 0.2 };
    expect(signedDistanceUs(initial, other)).toBeUndefined();
    expect(signedDistanceUs({ ...other, vectorNs: [0, 0, 0] }, other)).toBe(10_000);
    expect(signedDistanceUs({ ...other, vectorNs: [0] }, other)).toBeUndefined();
  });
});

describe("the headline", () => {
  const own = { node: "me", ...at(0.001) };
  const peer = (node: string, ms: number, change?: Partial<Coordinate>): NodeCoordinate => ({ node, ...at(ms + 0.001, change) });

  test("is the middle peer, or the mean of the two in the middle", () => {
    const three = [own, peer("a", 1), peer("b", 50), peer("c", 3)];
    expect(estimateLatency("me", three, alive("me", "a", "b", "c"))).toEqual({ value: { rttUs: 3_000, peers: 3 } });
    expect(estimateLatency("me", three, alive("me", "a", "c"))).toEqual({ value: { rttUs: 2_000, peers: 2 } });
  });

  test.each(["failed", "left", "leaving", "none"] as const)("counts no peer that is %s, although it has a coordinate", (status) => {
    const members: Member[] = [...alive("me", "a"), { name: "b", address: "192.0.2.2", status }];
    expect(estimateLatency("me", [own, peer("a", 1), peer("b", 50)], members)).toEqual({ value: { rttUs: 1_000, peers: 1 } });
  });

  test("leaves out peers that are initial, of other dimensions or not finite", () => {
    const peers = [peer("a", 7), { node: "b", ...INITIAL }, peer("c", 1, { vector: [1] }), peer("d", 1, { height: Number.NaN })];
    expect(estimateLatency("me", [own, ...peers], alive("a", "b", "c", "d"))).toEqual({ value: { rttUs: 7_000, peers: 1 } });
  });

  test.each<[string, NodeCoordinate[], string]>([
    ["no coordinate of its own", [peer("a", 1)], "own-coordinate-missing"],
    ["an initial one", [{ node: "me", ...INITIAL }, peer("a", 1)], "own-coordinate-initial"],
    ["one that is not finite", [{ ...own, adjustment: Number.NaN }, peer("a", 1)], "own-coordinate-invalid"],
    ["nobody else", [own], "no-peer-coordinate"],
    ["only peers that say nothing", [own, { node: "a", ...INITIAL }], "no-peer-coordinate"],
    ["only peers that are no members", [own, peer("stranger", 1)], "no-peer-coordinate"],
  ])("is unmeasured with %s", (_, coordinates, reason) => {
    expect(estimateLatency("me", coordinates, alive("me", "a"))).toEqual({ value: undefined, reason });
  });

  test("lies between the nearest and the farthest peer, whatever their order", () => {
    const distances = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(distances, fc.boolean(), (ms, reversed) => {
        const peers = ms.map((distance, i) => peer(`p${String(i)}`, distance));
        const ordered = reversed ? [...peers].reverse() : peers;
        const { value } = estimateLatency("me", [own, ...ordered], alive(...peers.map((p) => p.node)));
        expect(value?.peers).toBe(ms.length);
        expect(value?.rttUs).toBeGreaterThanOrEqual(Math.min(...ms) * 1000);
        expect(value?.rttUs).toBeLessThanOrEqual(Math.max(...ms) * 1000);
        expect(value).toEqual(estimateLatency("me", [...ordered, own].reverse(), alive(...peers.map((p) => p.node))).value);
      }),
    );
  });
});
