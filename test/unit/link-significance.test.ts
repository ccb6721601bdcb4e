import fc from "fast-check";
import { stepSignificance, type Significance } from "../../src/beacon/link-statistics-significance.js";

const band = { absolute: 100, relative: 0.1, holdMs: 10_000 };

/** A reading each second; gives what was published at each and how often it changed. */
function play(values: readonly (number | undefined)[], from: Significance = {}): { published: (number | undefined)[]; changes: number } {
  let state = from;
  let changes = 0;
  const published = values.map((value, second) => {
    const step = stepSignificance(state, value, second * 1000, band);
    state = step.state;
    if (step.changed) changes += 1;
    return state.published;
  });
  return { published, changes };
}
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

test("a value that stays outside is published once, after the hold", () => {
  const { published, changes } = play(times(20, 500), { published: 300 });
  expect(published.indexOf(500)).toBe(10);
  expect(changes).toBe(1);
});

test("within the larger of the absolute and the relative band nothing moves", () => {
  expect(play(times(60, 399), { published: 300 }).changes).toBe(0);
  expect(play(times(60, 10_999), { published: 10_000 }).changes).toBe(0);
  expect(play(times(60, 11_001), { published: 10_000 }).changes).toBe(1);
});

test("a link that flaps from one side to the other, or back into the band, writes nothing", () => {
  expect(play(times(30, [800, 50]).flat(), { published: 400 }).changes).toBe(0);
  expect(play(times(30, [...times(9, 800), 400]).flat(), { published: 400 }).changes).toBe(0);
});

test("becoming measured and becoming unmeasured are changes, held like any other", () => {
  const appeared = play([...times(5, undefined), ...times(11, 300)]);
  expect(appeared).toMatchObject({ changes: 1 });
  expect(appeared.published.at(-1)).toBe(300);
  const vanished = play(times(11, undefined), { published: 300 });
  expect(vanished.published.slice(-2)).toEqual([300, undefined]);
});

test("at most one change for each hold, whatever is measured", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 10_000 }), { nil: undefined }), { maxLength: 300 }), (values) => {
      expect(play(values).changes).toBeLessThanOrEqual(Math.floor(values.length / 10));
    }),
  );
});
