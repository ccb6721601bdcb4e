/**
 * The bound of docs/reputation.md, by property: whatever up to a third of the observing nodes sign, together and knowing
 * everything, the score of an honest node is unknown or lies between what honest nodes measured of it; and a colluder's
 * own score is no better than what they measured.
 */
import * as fc from "fast-check";
import { reputationsOf } from "../../src/beacon/reputation.js";
import { keyOf } from "../harness/links.js";
import { mesh, observation, type Observed, signedState } from "../harness/observers.js";

const MAX_NODES = 10;

/** One colluder's word about one node; null: it withholds. */
const lie: fc.Arbitrary<Observed | null> = fc.option(
  fc.record({ sent: fc.constantFrom(0, 9, 10, 64, 1_000), received: fc.nat(1_000), exchanges: fc.constantFrom("none" as const, "seen" as const, "forged" as const) }),
);
/** All slander the honest and praise their own: what a coalition would do first. */
const party = (k: number) => (from: number, to: number): Observed => (from <= k && to <= k ? {} : { received: 0 });

const attack = fc.integer({ min: 4, max: MAX_NODES }).chain((n) =>
  fc.record({
    n: fc.constant(n),
    k: fc.integer({ min: 1, max: Math.floor(n / 3) }),
    /** Probes of 64 that an honest node saw answered by each other node. */
    truth: fc.array(fc.nat(64), { minLength: n * n, maxLength: n * n }),
    lies: fc.option(fc.array(lie, { minLength: n * n, maxLength: n * n })),
    omitted: fc.subarray([1, 2, 3]),
  }),
);

/** In ppm, from the whole vote of an honest observer: three parts success, one part that it answered. */
const votePpm = (received: number): number => Math.floor((3 * Math.floor((received * 1_000_000) / 64) + 1_000_000) / 4);

test("up to a third of the nodes, lying in everything that they sign, leave every honest score within the honest votes", () => {
  let known = 0;
  fc.assert(
    fc.property(attack, ({ n, k, truth, lies, omitted }) => {
      const cell = (from: number, to: number): number => (from - 1) * n + to - 1;
      const seen = (from: number, to: number): Observed | null =>
        from > k ? { received: truth[cell(from, to)] ?? 0 } : lies === null ? party(k)(from, to) : (lies[cell(from, to)] ?? null);
      const states = mesh(n, seen).filter((_, i) => i >= k || !omitted.includes(i + 1)); // a colluder may also be silent
      const reputations = reputationsOf(states);
      for (let subject = 1; subject <= n; subject += 1) {
        const scored = reputations.nodes.find(({ key }) => key === keyOf(subject));
        if (scored?.scorePpm === undefined) continue;
        known += 1;
        const honest = Array.from({ length: n }, (_, i) => i + 1).filter((o) => o > k && o !== subject);
        const votes = honest.map((o) => votePpm(truth[cell(o, subject)] ?? 0)).sort((a, b) => a - b);
        expect(scored.scorePpm).toBeLessThanOrEqual(votes.at(-1) ?? 0);
        if (subject > k) expect(scored.scorePpm).toBeGreaterThanOrEqual(votes[0] ?? 0);
      }
    }),
    { numRuns: 120 },
  );
  expect(known).toBeGreaterThan(120); // unknown everywhere would hold the bound too
});

test("where all vote, the score stays between the two quartiles of the honest votes that docs/reputation.md names", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }).chain((k) => fc.record({ k: fc.constant(k), truth: fc.array(fc.integer({ min: 33, max: 64 }), { minLength: 100, maxLength: 100 }), low: fc.boolean() })), ({ k, truth, low }) => {
      const n = 3 * k + 1;
      const cell = (from: number, to: number): number => from * n + to;
      const states = mesh(n, (from, to) => (from > k ? { received: truth[cell(from, to) % 100] ?? 64 } : { received: low ? 0 : 64 }));
      const subject = n;
      const honest = Array.from({ length: n }, (_, i) => i + 1).filter((o) => o > k && o !== subject);
      const votes = honest.map((o) => votePpm(truth[cell(o, subject) % 100] ?? 64)).sort((a, b) => a - b);
      const rank = Math.ceil((n - 1) / 2);
      const score = reputationsOf(states).nodes.find(({ key }) => key === keyOf(subject))?.scorePpm;
      expect(score).toBeGreaterThanOrEqual(votes[rank - k - 1] ?? NaN);
      expect(score).toBeLessThanOrEqual(votes[rank - 1] ?? NaN);
    }),
    { numRuns: 60 },
  );
});

test.each([1, 2, 3])("%d of three times as many, and not one less, is what it takes: the bound is tight", (k) => {
  const n = 3 * k;
  const slander = (c: number) => reputationsOf(mesh(n, (from, to) => (from <= c && to === n ? { received: 0, exchanges: "none" } : {}))).nodes.find(({ key }) => key === keyOf(n))?.scorePpm;
  if (n > 3) expect(slander(k)).toBe(1_000_000);
  expect(slander(Math.ceil((n - 1) / 2))).not.toBe(1_000_000);
});

test("where the honest agree, colluders change nothing, neither for a victim nor for one of their own", () => {
  const bad = 1; // a colluder that answers nobody, praised by the other colluder
  const states = mesh(7, (from, to) => (from <= 2 && to <= 2 ? {} : from <= 2 ? { received: 0, exchanges: "forged" } : to === bad ? { received: 0, exchanges: "none" } : {}));
  const reputations = reputationsOf(states);
  expect(reputations.nodes.filter(({ key }) => key !== keyOf(1) && key !== keyOf(2)).map(({ scorePpm }) => scorePpm)).toEqual(Array(5).fill(1_000_000));
  expect(reputations.nodes.find(({ key }) => key === keyOf(bad))).toMatchObject({ scorePpm: 0 });
});

test("a crowd that observes one victim only does not outvote the few who do: the score becomes unknown", () => {
  // 5 honest nodes probe the victim of 18; 6 colluders, a third, all claim that it never answers.
  const states = mesh(18, (from, to) => (from <= 6 ? (to === 18 ? { received: 0 } : null) : (to - from + 18) % 18 <= 5 ? {} : null));
  expect(reputationsOf(states).nodes.find(({ key }) => key === keyOf(18))).not.toHaveProperty("scorePpm");
});

test("a state of a colluder that names the victim under a second half of its own gives it no second vote", () => {
  const states = mesh(4);
  const twice = signedState(1, [...(states[0]?.record.links ?? []), observation(4, { received: 0 })]);
  expect(reputationsOf([twice, ...states.slice(1)]).nodes.find(({ key }) => key === keyOf(4))).toMatchObject({ scorePpm: 1_000_000, observers: 3 });
});
