/** Prices by the time of day, UTC: every minute has one price, and what is wrong with a schedule is named. */
import fc from "fast-check";
import { parsePriceSchedule, type PriceSchedule, scheduledPrice } from "../../src/sidecar/readings/price-schedule.js";

const CONSTANT = 10_000;
const DAY_MS = 86_400_000;

function scheduleOf(text: string): PriceSchedule {
  const parsed = parsePriceSchedule(text);
  if (parsed.problem !== undefined) throw new Error(parsed.problem);
  return parsed.schedule;
}

/** `at` as the wall clock of that moment, whatever the day. */
function priceAt(text: string, at: string, day = "2026-11-23"): Promise<unknown> {
  return scheduledPrice(scheduleOf(text), CONSTANT, { nowMs: () => Date.parse(`${day}T${at}Z`) }).read();
}

test.each([
  ["00:00:00", 5_000], ["05:59:59.999", 5_000], ["06:00:00", CONSTANT], ["17:59:59", CONSTANT],
  ["18:00:00", 20_000], ["22:59:59", 20_000], ["23:00:00", CONSTANT], ["23:59:59.999", CONSTANT],
])("at %s UTC the price is %d: a span holds from its first minute up to its last", async (at, microUsd) => {
  expect(await priceAt("00:00-06:00=0.005,18:00-23:00=0.02", at)).toEqual({ value: microUsd });
  expect(await priceAt("18:00-23:00=0.02, 00:00-06:00=0.005", at, "1999-01-01")).toEqual({ value: microUsd });
});

test.each([["21:59", CONSTANT], ["22:00", 1], ["23:59", 1], ["00:00", 1], ["03:59", 1], ["04:00", CONSTANT]])("a span that passes midnight: at %s %d", async (at, microUsd) => {
  expect(await priceAt("22:00-04:00=0.000001", `${at}:00`)).toEqual({ value: microUsd });
});

test("the times at which the constant holds are named", () => {
  expect(scheduleOf("00:00-06:00=1,18:00-23:00=2").gaps).toEqual(["06:00-18:00", "23:00-24:00"]);
  expect(scheduleOf("22:00-04:00=1").gaps).toEqual(["04:00-22:00"]);
  expect(scheduleOf("12:00-00:00=1,00:00-12:00=2").gaps).toEqual([]);
  expect(scheduleOf("00:00-24:00=1").gaps).toEqual([]);
});

test.each([
  ["00:00-06:00=1,05:59-07:00=2", '"00:00-06:00=1" and "05:59-07:00=2" overlap at 05:59'],
  ["01:00-02:00=1,22:00-04:00=2", '"22:00-04:00=2" and "01:00-02:00=1" overlap at 01:00'],
  ["00:00-24:00=1,03:00-04:00=2", "overlap at 03:00"],
  ["06:00-06:00=1", "covers no time"],
  ["24:00-06:00=1", "is no span"],
  ["00:00-24:01=1", "is no span"],
  ["00:60-02:00=1", "is no span"],
  ["6:00-07:00=1", "is no span"],
  ["06:00-07:00", "is no span"],
  ["06:00-07:00=", "has no price"],
  ["06:00-07:00=-1", "has no price"],
  ["06:00-07:00=0.0000001", 'has no price: "0.0000001" is finer than a millionth of a dollar'],
  ["06:00-07:00=1,,", '"" is no span'],
])("%s is refused: %s", (text, problem) => {
  expect(parsePriceSchedule(text).problem).toContain(problem);
});

test("spans and gaps together are the whole day, each minute once, whatever the spans", () => {
  const minute = fc.integer({ min: 0, max: 1_439 });
  const time = (of: number): string => `${String(Math.floor(of / 60)).padStart(2, "0")}:${String(of % 60).padStart(2, "0")}`;
  fc.assert(
    fc.property(fc.uniqueArray(minute, { minLength: 2, maxLength: 8 }), fc.boolean(), (marks, ring) => {
      const sorted = [...marks].sort((a, b) => a - b);
      const ends = ring ? [...sorted.slice(1), sorted[0] ?? 0] : sorted.slice(1);
      const { spans, gaps } = scheduleOf(ends.map((end, i) => `${time(sorted[i] ?? 0)}-${time(end)}=${String(i)}`).join());
      const covered = spans.reduce((sum, { from, to }) => sum + to - from, 0);
      const open = gaps.map((gap) => /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(gap)?.slice(1).map(Number) ?? []).reduce((sum, [h = 0, m = 0, h2 = 0, m2 = 0]) => sum + h2 * 60 + m2 - h * 60 - m, 0);
      expect(covered + open).toBe(1_440);
    }),
  );
});

test("any text is a schedule or a problem, and any moment has a price", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[\d:=,.-]{0,40}$/)), (text) => {
      expect(typeof (parsePriceSchedule(text).problem ?? "")).toBe("string");
    }),
  );
  const schedule = scheduleOf("00:00-06:00=1,20:00-00:00=2");
  return fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 400 * 365 * DAY_MS }), async (nowMs) => {
      const { value } = await scheduledPrice(schedule, CONSTANT, { nowMs: () => nowMs }).read();
      expect([CONSTANT, 1_000_000, 2_000_000]).toContain(value);
    }),
  );
});
