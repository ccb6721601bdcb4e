import fc from "fast-check";
import { headlineOf } from "../../src/beacon/link-statistics-headline.js";
import { ProbeWindow } from "../../src/beacon/link-statistics-window.js";
import { percentile, summarizeProbes, type ProbeSample } from "../../src/beacon/link-statistics.js";

const bounds = { startMs: 0, endMs: 60_000 };

/** A number is a round trip in µs, `null` a lost probe; a second apart. */
function series(values: readonly (number | null)[]): ProbeSample[] {
  return values.map((rttUs, sequence) => {
    const head = { sequence, sentAtMs: sequence * 1000 };
    return rttUs === null
      ? { outcome: "lost", ...head }
      : { outcome: "received", rttUs, reflectorSequence: sequence, reordered: false, ...head };
  });
}

test("a series worked out by hand", () => {
  const summary = summarizeProbes(series([100, 200, null, null, 150, null, 150, 400]), bounds);
  expect(summary).toEqual({
    ...bounds, sent: 8, received: 5, lost: 3, discarded: 0, late: 0, duplicates: 0, reordered: 0,
    lossRatio: 0.375,
    bursts: { count: 2, longest: 2, meanLength: 1.5 },
    rtt: { minUs: 100, p50Us: 150, p95Us: 400, p99Us: 400 },
    // |D| = 100, 50, 0, 250: J = 6.25, 8.984375, 8.4228515625, then + (250 − J) / 16.
    jitterUs: 8.4228515625 + (250 - 8.4228515625) / 16,
    pdv: { p95Us: 300, p99Us: 300 },
  });
});

test("with no answer the round trip is unmeasured and the loss ratio is 1", () => {
  const summary = summarizeProbes(series([null, null]), bounds);
  expect(summary.lossRatio).toBe(1);
  expect(summary.bursts).toEqual({ count: 1, longest: 2, meanLength: 2 });
  expect([summary.rtt, summary.jitterUs, summary.pdv]).toEqual([undefined, undefined, undefined]);
});

test("with nothing sent there is neither loss ratio nor round trip", () => {
  const summary = summarizeProbes([], bounds);
  expect(summary).toEqual({
    ...bounds, sent: 0, received: 0, lost: 0, discarded: 0, late: 0, duplicates: 0, reordered: 0, bursts: { count: 0, longest: 0 },
  });
});

test("one answer measures a round trip but no jitter", () => {
  const summary = summarizeProbes(series([250]), bounds);
  expect(summary.rtt?.p50Us).toBe(250);
  expect(summary.jitterUs).toBeUndefined();
});

test("a discarded answer counts as one and gives no round trip; late and duplicate ones count beside", () => {
  const notes: ProbeSample[] = [
    { outcome: "discarded", sequence: 9, sentAtMs: 9000, reordered: false, reflectorSequence: 9 },
    { outcome: "duplicate", sequence: 0, sentAtMs: 0, reordered: true, reflectorSequence: 10 },
    { outcome: "late", sequence: 1, sentAtMs: 1000, reordered: true, reflectorSequence: 1 },
  ];
  const summary = summarizeProbes([...series([100, null]), ...notes], { ...bounds, reflector: "stateless" });
  expect(summary).toMatchObject({ sent: 3, received: 2, lost: 1, discarded: 1, late: 1, duplicates: 1, reordered: 2, lossRatio: 1 / 3 });
  expect(summary.rtt).toEqual({ minUs: 100, p50Us: 100, p95Us: 100, p99Us: 100 });
});

test("percentiles are nearest rank", () => {
  const sorted = [15, 20, 35, 40, 50];
  expect([0, 0.05, 0.3, 0.4, 0.5, 1].map((share) => percentile(sorted, share))).toEqual([15, 15, 20, 20, 35, 50]);
  expect(() => percentile([], 0.5)).toThrow(RangeError);
});

const outcomes = fc.array(fc.option(fc.double({ min: 1, max: 1e6, noNaN: true })), { maxLength: 200 });

test("whatever is lost: counts add up, percentiles are answers, in order, and PDV is their distance from the least", () => {
  fc.assert(
    fc.property(outcomes, (values) => {
      const { rtt, pdv, bursts, ...summary } = summarizeProbes(series(values), bounds);
      const answers = values.filter((value) => value !== null);
      expect(summary.sent).toBe(summary.received + summary.lost);
      expect(bursts.count * (bursts.meanLength ?? 0)).toBeCloseTo(summary.lost);
      expect(rtt === undefined).toBe(answers.length === 0);
      if (rtt === undefined) return;
      expect(rtt.minUs).toBe(Math.min(...answers));
      expect(answers).toEqual(expect.arrayContaining([rtt.p50Us, rtt.p95Us, rtt.p99Us]));
      expect([rtt.minUs, rtt.p50Us, rtt.p95Us, rtt.p99Us]).toEqual([rtt.minUs, rtt.p50Us, rtt.p95Us, rtt.p99Us].sort((a, b) => a - b));
      expect(pdv).toEqual({ p95Us: rtt.p95Us - rtt.minUs, p99Us: rtt.p99Us - rtt.minUs });
      expect(summary.jitterUs ?? 0).toBeLessThanOrEqual(Math.max(...answers) - rtt.minUs);
    }),
  );
});

test("a lost probe in between changes no round trip", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 1 }), (values) => {
      const whole = summarizeProbes(series(values), bounds);
      const holed = summarizeProbes(series(values.flatMap((value) => [value, null])), bounds);
      expect([holed.rtt, holed.jitterUs, holed.pdv]).toEqual([whole.rtt, whole.jitterUs, whole.pdv]);
    }),
  );
});

test("a window forgets by age, and its jitter is that of the endless series", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 20, maxLength: 80 }), (values) => {
      const window = new ProbeWindow({ windowMs: 10_000, reflector: "stateless" });
      const samples = series(values);
      const nowMs = (values.length - 1) * 1000;
      samples.forEach((sample, index) => {
        window.add(sample);
        if (index % 7 === 0) window.summary(sample.sentAtMs);
      });
      const summary = window.summary(nowMs);
      expect(summary.sent).toBe(11);
      expect(summary.rtt?.minUs).toBe(Math.min(...values.slice(-11)));
      expect(summary.jitterUs).toBeCloseTo(summarizeProbes(samples, bounds).jitterUs ?? NaN, 6);
      expect(window.summary(nowMs + 60_000)).toMatchObject({ sent: 0, received: 0 });
      expect(window.summary(nowMs + 60_000).jitterUs).toBeUndefined();
    }),
  );
});

test("a window holds no more than its limit", () => {
  const window = new ProbeWindow({ windowMs: 1e9, reflector: "stateless", maxSamples: 50 });
  for (const sample of series(Array.from({ length: 200 }, () => 5))) window.add(sample);
  expect(window.summary(200_000).sent).toBe(50);
});

test("the headline is the median of the peers' medians, and unmeasured when fewer than half answer", () => {
  const link = (values: (number | null)[]): ReturnType<typeof summarizeProbes> => summarizeProbes(series(values), bounds);
  const [near, middle, far, dead] = [link([100, 100]), link([300, 300]), link([900, 900]), link([null, null])];
  expect(headlineOf([near, middle, far])).toMatchObject({ latencyUs: 300, jitterUs: 0, lossRatio: 0 });
  expect(headlineOf([near, far, dead, dead])).toMatchObject({ peersProbed: 4, peersAnswering: 2, latencyUs: 100, lossRatio: 0.5 });
  expect(headlineOf([near, dead, dead])).toEqual({ peersProbed: 3, peersAnswering: 1, lossRatio: 4 / 6 });
  expect(headlineOf([link([]), link([])])).toEqual({ peersProbed: 0, peersAnswering: 0 });
});
