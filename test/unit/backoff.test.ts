import fc from "fast-check";
import { Backoff, DEFAULT_BACKOFF } from "../../src/sidecar/backoff.js";

describe("Backoff", () => {
  it("doubles up to its maximum and starts over after a success", () => {
    const backoff = new Backoff(() => 1, { initialMs: 100, maxMs: 450 });
    expect([backoff.next(), backoff.next(), backoff.next(), backoff.next()]).toEqual([100, 200, 400, 450]);
    backoff.reset();
    expect(backoff.next()).toBe(100);
  });

  it("draws each wait from the upper half, after any number of failures", () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(random, fc.integer({ min: 1, max: 3000 }), (drawn, failures) => {
        const backoff = new Backoff(() => drawn);
        for (let i = 1; i < failures; i += 1) backoff.next();
        const fullMs = Math.min(DEFAULT_BACKOFF.maxMs, DEFAULT_BACKOFF.initialMs * 2 ** (failures - 1));
        const waitMs = backoff.next();
        expect(waitMs).toBeGreaterThanOrEqual(fullMs / 2);
        expect(waitMs).toBeLessThanOrEqual(fullMs);
      }),
    );
  });
});
