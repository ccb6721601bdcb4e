/** Prices are exact, bounded, and refused by the name of their flag. */
import fc from "fast-check";
import { constantPrice, MAX_PRICE_MICRO_USD_PER_GB, parsePricePerGb } from "../../src/sidecar/readings/price.js";

test.each([
  ["0.01", 10_000],
  ["0", 0],
  ["0.0", 0],
  ["0.000001", 1],
  ["0.1", 100_000],
  ["0.29", 290_000],
  ["1.005", 1_005_000],
  ["0.0100000000", 10_000],
  ["007.5", 7_500_000],
  ["1000000", 1_000_000_000_000],
  ["999999.999999", 999_999_999_999],
])("%s dollars are %d micro-dollars", (text, microUsdPerGb) => {
  expect(parsePricePerGb(text, "--beacon-price")).toEqual({ microUsdPerGb });
});

test.each(["", " ", "NaN", "-1", "-0", "+1", "1e3", "1e-7", "Infinity", "$1", "1,5", "1_000", ".5", "5.", "0x10", "1 ", "1\n", "٣", "1.2.3", "9".repeat(400)])(
  "%j is refused, and the flag is named",
  (text) => {
    const { problem } = parsePricePerGb(text, "--beacon-price");
    expect(problem?.setting).toBe("--beacon-price");
    expect(problem?.message).toMatch(/^--beacon-price: .* is no price/s);
  },
);

test.each([
  ["0.0000001", "finer than a millionth"],
  ["1000000.000001", "over 1000000 dollars"],
  ["1000001", "over 1000000 dollars"],
  ["9999999999999999", "over 1000000 dollars"],
])("%s is refused: %s", (text, why) => {
  expect(parsePricePerGb(text, "--beacon-price").problem?.message).toContain(why);
});

test("every amount within the bounds survives being written as decimals", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX_PRICE_MICRO_USD_PER_GB }), (micro) => {
      const digits = String(micro).padStart(7, "0");
      const text = `${digits.slice(0, -6)}.${digits.slice(-6)}`;
      expect(parsePricePerGb(text, "p")).toEqual({ microUsdPerGb: micro });
    }),
  );
});

test("any text gives an amount within the bounds or a problem, and nothing is thrown", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String)), (text) => {
      const parsed = parsePricePerGb(text, "p");
      if (parsed.problem !== undefined) return;
      expect(Number.isSafeInteger(parsed.microUsdPerGb)).toBe(true);
      expect(parsed.microUsdPerGb).toBeGreaterThanOrEqual(0);
      expect(parsed.microUsdPerGb).toBeLessThanOrEqual(MAX_PRICE_MICRO_USD_PER_GB);
    }),
  );
});

test("a constant source gives its price each time", async () => {
  const source = constantPrice(10_000);
  expect(await source.read()).toEqual({ value: 10_000 });
  expect(await source.read()).toEqual({ value: 10_000 });
});

test.each([-1, 0.5, Number.NaN, Infinity, MAX_PRICE_MICRO_USD_PER_GB + 1])("a source of %d cannot be made", (amount) => {
  expect(() => constantPrice(amount)).toThrow(RangeError);
});
