import fc from "fast-check";
import { cadenceFor, CLUSTER_WRITES_PER_S, DEFAULT_LIMITS, IDLE_WRITES_PER_S } from "../../src/sidecar/cadence.js";
import { TokenBucket } from "../../src/sidecar/token-bucket.js";

const SEALED = 170;

describe("periods follow the number of members", () => {
  test("three nodes: events every beat, planes every 100 s, valid for 300 s", () => {
    expect(cadenceFor(3, SEALED)).toMatchObject({ heartbeatMs: 100_000, validityMs: 300_000, eventMs: 5_000, writesPerS: 1 });
  });

  // A quarter of the gossip capacity: four times the whole-capacity periods of reference/consul-limits.md (L = 300 B).
  test.each([
    [10, 5.3],
    [50, 26.7],
    [100, 80],
  ])("%i nodes: an event every %d s", (members, seconds) => {
    expect((cadenceFor(members, SEALED).eventMs ?? 0) / 1_000).toBeCloseTo(seconds, 0);
  });

  test("events stop once their period exceeds KV's, and say so by being null", () => {
    expect(cadenceFor(100, SEALED).eventMs).not.toBeNull();
    expect(cadenceFor(1_000, SEALED).eventMs).toBeNull();
  });

  test("10,000 nodes: a heartbeat every 625 s, valid for three", () => {
    expect(cadenceFor(10_000, SEALED)).toMatchObject({ heartbeatMs: 625_000, validityMs: 1_875_000 });
  });

  test("whatever the size, the budget of design.md holds and a record outlives three heartbeats", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), fc.integer({ min: 104, max: 350 }), (members, bytes) => {
        const n = Math.max(1, members);
        const { heartbeatMs, validityMs, eventMs, writesPerS, writeBurst } = cadenceFor(members, bytes);
        const idleWritesPerS = 2_000 / heartbeatMs;
        expect(idleWritesPerS).toBeLessThanOrEqual(Math.min(IDLE_WRITES_PER_S, CLUSTER_WRITES_PER_S / n) * (1 + 1e-9));
        expect(writesPerS * n).toBeLessThanOrEqual(Math.max(CLUSTER_WRITES_PER_S, n <= 32 ? n : 0));
        expect(writeBurst).toBeLessThanOrEqual(2);
        expect(validityMs).toBeGreaterThanOrEqual(Math.max(300_000, 3 * heartbeatMs));
        expect(validityMs % 1_000).toBe(0);
        if (eventMs !== null) {
          expect(eventMs).toBeGreaterThanOrEqual(DEFAULT_LIMITS.beatMs);
          expect(eventMs).toBeLessThanOrEqual(heartbeatMs);
        }
      }),
    );
  });
});

describe("token bucket", () => {
  test("gives its burst at once, then its rate, and never more than the burst after a pause", () => {
    const bucket = new TokenBucket(0.5, 2);
    expect([bucket.tryTake(0), bucket.tryTake(0), bucket.tryTake(0)]).toEqual([true, true, false]);
    expect(bucket.tryTake(1_999)).toBe(false);
    expect(bucket.tryTake(2_000)).toBe(true);
    const later = [bucket.tryTake(1e9), bucket.tryTake(1e9), bucket.tryTake(1e9)];
    expect(later).toEqual([true, true, false]);
  });

  test("over any run of offers it lets no more through than burst + rate × time", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 }), (gapsMs) => {
        const bucket = new TokenBucket(0.1, 2);
        let nowMs = 0;
        let taken = 0;
        for (const gap of gapsMs) {
          nowMs += gap;
          if (bucket.tryTake(nowMs)) taken += 1;
        }
        expect(taken).toBeLessThanOrEqual(2 + (0.1 * nowMs) / 1_000 + 1e-6);
      }),
    );
  });
});
