/** A chain of proof segments: without a hole, in order, its totals its own; anything else is broken at a named place. */
import { checkChain } from "../../src/beacon/proof-chain.js";
import { chainOf, sealed, segmentAfter, STARTED_MS } from "../harness/proofs.js";

test("an unbroken chain, with its totals and the time that it covers", () => {
  expect(checkChain(chainOf(3))).toEqual({
    ok: true, startedMs: STARTED_MS, endedMs: STARTED_MS + 180_000, prunedSegments: 0, gaps: [],
    totals: { watchedMs: 180_000, gapMs: 0, restarts: 0 },
  });
});

test("a gap is a span that says why, and counts as not watched", () => {
  const [first] = chainOf(2);
  const second = segmentAfter(first, { epoch: 2, restarts: 1, spans: [{ endMs: STARTED_MS + 90_000, gap: "not-watched" }, { endMs: STARTED_MS + 120_000, cpuPpm: 5 }] });
  expect(checkChain([first as never, second])).toMatchObject({ ok: true, gaps: [{ reason: "not-watched", ms: 30_000 }], totals: { watchedMs: 90_000, gapMs: 30_000, restarts: 1 } });
});

test("bytes are summed, in gaps too; a segment of a version that counted none begins the sums anew", () => {
  const traffic = (n: number) => ({ bytesIn: n, bytesOut: 10 * n, meteredMs: 1_000 });
  const one = segmentAfter(undefined, { spans: [{ endMs: STARTED_MS + 1_000, traffic: traffic(1) }, { endMs: STARTED_MS + 9_000, gap: "no-answer", traffic: traffic(2) }] });
  const two = segmentAfter(one, { spans: [{ endMs: STARTED_MS + 10_000 }, { endMs: STARTED_MS + 11_000, traffic: traffic(4) }] });
  expect(checkChain([one, two])).toMatchObject({ ok: true, totals: { traffic: { bytesIn: 7, bytesOut: 70, meteredMs: 3_000 } } });
  const { traffic: _, ...without } = two.record.totals;
  const old = sealed({ ...two.record, totals: without, spans: [{ endMs: STARTED_MS + 11_000 }] });
  expect(checkChain([one, old, segmentAfter(old, { spans: [{ endMs: STARTED_MS + 12_000, traffic: traffic(8) }] })])).toMatchObject({ ok: true, totals: { traffic: { bytesIn: 8 } } });
  const forged = sealed({ ...two.record, totals: { ...two.record.totals, traffic: { ...traffic(7), meteredMs: 3_000, bytesOut: 71 } } });
  expect(checkChain([one, forged])).toEqual({ ok: false, position: 2, detail: "total bytesOut is not the sum of its spans" });
});

test("a pruned chain says how much is gone, and its totals still hold", () => {
  const pruned = chainOf(5, { keep: 3 });
  expect(checkChain(pruned.slice(2))).toMatchObject({ ok: true, prunedSegments: 2, totals: { watchedMs: 300_000 } });
});

const chain = chainOf(4);
const [a, b, c, d] = chain as [(typeof chain)[0], (typeof chain)[0], (typeof chain)[0], (typeof chain)[0]];
const pruned = chainOf(5, { keep: 3 });
test.each([
  ["nothing", [], 1, /no segment/],
  ["a segment left out", [a, c], 2, /segment 2 stands after 0/],
  ["the first left out, which the node kept", [b, c, d], 1, /begins with segment 1; the node kept them from 0 on/],
  ["one more left out than was pruned", pruned.slice(3), 1, /begins with segment 3; the node kept them from 2 on/],
  ["two in the wrong order", [b, a], 2, /segment 0 stands after 1/],
  ["one twice", [a, a], 2, /segment 0 stands after 0/],
  ["another history before", [segmentAfter(undefined, { epoch: 1, spans: [{ endMs: STARTED_MS + 60_000 }] }), b], 2, /names .* as the one before/],
  ["a segment after the end", [a, b, c, d, segmentAfter(d)], 5, /follows the one that ended/],
  ["a hole in time", [a, sealed({ ...b.record, fromMs: b.record.fromMs + 1 })], 2, /starts at/],
  ["an older epoch", [segmentAfter(undefined, { epoch: 5 }), segmentAfter(segmentAfter(undefined, { epoch: 5 }), { epoch: 4 })], 2, /epoch 4 is older than 5/],
  ["another allocation", [a, segmentAfter(a, { allocation: "other" })], 2, /allocation is other/],
  ["another node", [a, segmentAfter(a, { node: "node-2" })], 2, /node is node-2/],
  ["another job of the same version", [a, segmentAfter(a, { jobHash: "33".repeat(32) })], 2, /same version/],
  ["totals of its own", [a, sealed({ ...b.record, totals: { ...b.record.totals, watchedMs: 1_000_000 } })], 2, /watchedMs is not the sum/],
  ["gaps of its own", [a, sealed({ ...b.record, totals: { ...b.record.totals, gapMs: 1 } })], 2, /gapMs is not the sum/],
  ["totals of its own at the start", [sealed({ ...a.record, totals: { ...a.record.totals, watchedMs: 0 } })], 1, /watchedMs is not the sum/],
  ["restarts that go back", [segmentAfter(undefined, { restarts: 2 }), segmentAfter(segmentAfter(undefined, { restarts: 2 }), { restarts: 1 })], 2, /fewer restarts/],
])("%s: broken, and where", (_, segments, position, said) => {
  expect(checkChain(segments)).toEqual({ ok: false, position, detail: expect.stringMatching(said) });
});

test("Nomad's update in place is a higher version with another hash", () => {
  expect(checkChain([a, segmentAfter(a, { jobVersion: 1, jobHash: "33".repeat(32) })])).toMatchObject({ ok: true });
});

test.each([
  ["spans that go back", { spans: [{ endMs: STARTED_MS + 10 }, { endMs: STARTED_MS + 10 }] }, /end_ms/],
  ["figures in a gap", { spans: [{ endMs: STARTED_MS + 10, gap: "x", cpuPpm: 1 }] }, /nobody looked/],
  ["bytes counted for longer than the span", { spans: [{ endMs: STARTED_MS + 10, traffic: { bytesIn: 1, bytesOut: 1, meteredMs: 11 } }] }, /metered_ms/],
  ["a negative figure", { spans: [{ endMs: STARTED_MS + 10, memoryBytes: -1 }] }, /memory_bytes/],
])("%s cannot be sealed", (_, fields, said) => {
  expect(() => segmentAfter(undefined, fields)).toThrow(said);
});
