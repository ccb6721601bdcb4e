import { beaconMovement, stateMoved } from "../../src/sidecar/significance.js";
import { beacon, state, workload } from "../harness/records.js";

const at = (us: number) => beacon({ latency: { us, source: "measured" } });

test("a number counts once it has been outside its band for ten seconds, not before", () => {
  const moved = beaconMovement();
  const before = at(10_000);
  expect(moved(before, at(12_100), 0)).toBe(false);
  expect(moved(before, at(12_100), 9_999)).toBe(false);
  expect(moved(before, at(12_100), 10_000)).toBe(true);
});

test("within 20 % or half a millisecond nothing moved, however long", () => {
  const moved = beaconMovement();
  for (let s = 0; s < 100; s += 5) expect(moved(at(10_000), at(12_000), s * 1_000)).toBe(false);
  const small = beaconMovement();
  for (let s = 0; s < 100; s += 5) expect(small(at(100), at(600), s * 1_000)).toBe(false);
});

test("a flapping link writes nothing", () => {
  const moved = beaconMovement();
  for (let s = 0; s < 600; s += 5) expect(moved(at(10_000), at(s % 10 === 0 ? 50_000 : 1_000), s * 1_000)).toBe(false);
});

test("becoming unmeasured counts like any move, and what counted goes on counting until it is written", () => {
  const moved = beaconMovement();
  const { latency: _, ...rest } = beacon();
  expect(moved(beacon(), rest, 0)).toBe(false);
  expect(moved(beacon(), rest, 10_000)).toBe(true);
  expect(moved(beacon(), rest, 15_000)).toBe(true);
  expect(moved(rest, rest, 20_000)).toBe(false);
});

test("a link that begins to be measured, or to be comparable, counts; its values do not", () => {
  const half = { peerKey: "ab".repeat(32), peer: "n2", startMs: 0, endMs: 1, sent: 1, received: 0, duplicates: 0, reordered: 0, longestBurst: 1 };
  const rtt = { minUs: 1, p50Us: 2, p95Us: 3, p99Us: 4 };
  const exchanges = { session: 1, firstChunk: 0, lastChunk: 0, chunks: [] };
  const none = state();
  const begun = state({ links: [half] });
  const measured = state({ links: [{ ...half, rtt, received: 1 }] });
  const slower = state({ links: [{ ...half, rtt: { ...rtt, p99Us: 900_000 }, received: 1 }] });
  const comparable = state({ links: [{ ...half, rtt, received: 1, outgoing: exchanges }] });
  expect(stateMoved(none, begun, 0)).toBe(true);
  expect(stateMoved(begun, measured, 0)).toBe(true);
  expect(stateMoved(measured, slower, 0)).toBe(false);
  expect(stateMoved(slower, comparable, 0)).toBe(true);
});

test("what is no number counts at once", () => {
  const moved = beaconMovement();
  expect(moved(beacon(), beacon({ priceMicroUsdPerGb: 10_001 }), 0)).toBe(true);
  expect(moved(beacon(), beacon({ capabilities: ["vm"] }), 0)).toBe(true);
  expect(stateMoved(state(), state({ workloads: [workload(1)] }), 0)).toBe(true);
  const proof = { hash: "ab".repeat(32), signature: "cd".repeat(64), issuedAtMs: 1, driver: "exec", totals: { watchedMs: 1, gapMs: 0, restarts: 0 } };
  expect(stateMoved(state({ workloads: [workload(1)] }), state({ workloads: [{ ...workload(1), proof }] }), 0)).toBe(false);
  expect(stateMoved(state(), state({ epoch: 13, sequence: 1 }), 0)).toBe(false);
});
