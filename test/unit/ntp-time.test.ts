import fc from "fast-check";
import { decodeErrorEstimate, encodeErrorEstimate, errorEstimateOf, errorSeconds } from "../../src/sidecar/probe/error-estimate.js";
import { ntpFromUnixNs, timestampDifferenceNs, unixNsFromNtp } from "../../src/sidecar/probe/ntp-time.js";

const unixNs = fc.bigInt({ min: 0n, max: 4_000_000_000n * 1_000_000_000n });

test("known times: the Unix epoch, half a second, and the first second of NTP era 1 (2036-02-07T06:28:16Z)", () => {
  expect(ntpFromUnixNs(0n)).toBe(0x83aa7e80_00000000n);
  expect(ntpFromUnixNs(500_000_000n)).toBe(0x83aa7e80_80000000n);
  expect(ntpFromUnixNs(2_085_978_496n * 1_000_000_000n)).toBe(0n);
});

test("every nanosecond from 1970 to 2096 comes back from NTP", () => {
  fc.assert(
    fc.property(unixNs, fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), (time, away) => {
      expect(unixNsFromNtp(ntpFromUnixNs(time), time + away < 0n ? 0n : time + away)).toBe(time);
    }),
  );
});

test("differences are exact to the nanosecond, in both orders and across the end of an era", () => {
  fc.assert(
    fc.property(unixNs, fc.bigInt({ min: 0n, max: 10n ** 12n }), (time, later) => {
      const [a, b] = [ntpFromUnixNs(time), ntpFromUnixNs(time + later)];
      expect(timestampDifferenceNs(b, a, "ntp")).toBe(later);
      expect(timestampDifferenceNs(a, b, "ntp")).toBe(-later);
    }),
  );
  expect(timestampDifferenceNs((1n << 32n) | 5n, (0xffff_ffffn << 32n) | 999_999_995n, "ptp")).toBe(1_000_000_010n);
});

test("an error estimate keeps its word and never understates", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 0xffff }), (wire) => expect(encodeErrorEstimate(decodeErrorEstimate(wire))).toBe(wire)));
  fc.assert(
    fc.property(fc.double({ min: 1e-9, max: 1000, noNaN: true }), (seconds) => {
      const stated = errorSeconds(errorEstimateOf(seconds, false));
      expect(stated).toBeGreaterThanOrEqual(seconds);
      expect(stated).toBeLessThan(seconds * 1.02 + 2 ** -32);
    }),
  );
});
