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

test("what is no number counts at once", () => {
  const moved = beaconMovement();
  expect(moved(beacon(), beacon({ priceMicroUsdPerGb: 10_001 }), 0)).toBe(true);
  expect(moved(beacon(), beacon({ capabilities: ["vm"] }), 0)).toBe(true);
  expect(stateMoved(state(), state({ workloads: [workload(1)] }), 0)).toBe(true);
  expect(stateMoved(state(), state({ epoch: 13, sequence: 1 }), 0)).toBe(false);
});
