import { Backoff } from "../../src/sidecar/backoff.js";
import { TokenBucket } from "../../src/sidecar/token-bucket.js";
import { WrittenPlane } from "../../src/sidecar/written-plane.js";

function plane(options: { perS?: number; burst?: number } = {}) {
  const written: number[] = [];
  let broken = false;
  let monoMs = 0;
  const under = new WrittenPlane<number>({
    moved: (before, now) => Math.abs(before - now) >= 10,
    budget: new TokenBucket(options.perS ?? 1, options.burst ?? 2),
    backoff: new Backoff(() => 0.5, { initialMs: 1_000, maxMs: 8_000 }),
    random: () => 0,
    monoMs: () => monoMs,
  });
  return {
    written,
    break: (is: boolean) => (broken = is),
    forget: () => under.forget(),
    offer: async (value: number, nowMs: number) => {
      try {
        monoMs = nowMs;
        return await under.offer(value, 100_000, () => {
          if (broken) return Promise.reject(new Error("no quorum"));
          written.push(value);
          return Promise.resolve();
        });
      } catch {
        return "threw";
      }
    },
  };
}

test("the first value is written, an unmoved one only at the heartbeat, a moved one at once", async () => {
  const p = plane();
  expect(await p.offer(0, 0)).toBe("written");
  expect(await p.offer(9, 5_000)).toBe("not-due");
  expect(await p.offer(10, 10_000)).toBe("written");
  expect(await p.offer(10, 109_999)).toBe("not-due");
  expect(await p.offer(10, 110_000)).toBe("written");
  expect(p.written).toEqual([0, 10, 10]);
});

test("a value that keeps jumping spends the budget and is then deferred, not lost", async () => {
  const p = plane({ perS: 0.01, burst: 2 });
  const outcomes: string[] = [];
  for (let beat = 0; beat < 30; beat++) outcomes.push(await p.offer(beat % 2 === 0 ? 0 : 100, beat * 5_000));
  expect(outcomes.filter((o) => o === "written").length).toBeLessThanOrEqual(2 + 1.5);
  expect(outcomes).toContain("deferred");
});

test("an outage ends in one write, of the newest value, and tries are spaced by the backoff", async () => {
  const p = plane({ perS: 1, burst: 2 });
  await p.offer(0, 0);
  p.break(true);
  const outcomes: string[] = [];
  for (let beat = 1; beat <= 60; beat++) outcomes.push(await p.offer(beat * 100, beat * 1_000));
  const tries = outcomes.filter((o) => o === "threw").length;
  expect(tries).toBeGreaterThan(5);
  expect(tries).toBeLessThan(15);
  p.break(false);
  for (let beat = 61; beat <= 80; beat++) await p.offer(6_100, beat * 1_000);
  expect(p.written).toEqual([0, 6_100]);
});

test("what Consul lost is written again at the next offer", async () => {
  const p = plane();
  await p.offer(0, 0);
  p.forget();
  expect(await p.offer(0, 5_000)).toBe("written");
});
