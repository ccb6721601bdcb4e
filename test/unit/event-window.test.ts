import fc from "fast-check";
import { EventWindow, RING_SIZE } from "../../src/sidecar/event-window.js";

const event = (n: number) => ({ id: `id-${n}`, name: "e", payload: new Uint8Array(0) });
const events = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => event(from + i));
/** The ring of an agent that has seen the events 0 to `seen`. */
const ringAfter = (seen: number) => events(Math.max(0, seen - RING_SIZE), seen);

describe("EventWindow", () => {
  it("gives what the ring holds at the start once, without a gap", () => {
    const window = new EventWindow();
    expect(window.take(ringAfter(300))).toMatchObject({ gap: false, fresh: { length: RING_SIZE } });
    expect(window.take(ringAfter(300))).toEqual({ gap: false, fresh: [] });
  });

  it("sees no gap while one event of the last ring is left", () => {
    const window = new EventWindow();
    window.take(ringAfter(300));
    const { fresh, gap } = window.take(ringAfter(300 + RING_SIZE - 1));
    expect({ gap, fresh: fresh.map(({ id }) => id) }).toEqual({ gap: false, fresh: events(300, 300 + RING_SIZE - 1).map(({ id }) => id) });
  });

  it.each([0, 1, 44])("sees a gap when %i events came and went", (missed) => {
    const window = new EventWindow();
    window.take(ringAfter(300));
    expect(window.take(ringAfter(300 + RING_SIZE + missed))).toMatchObject({ gap: true, fresh: { length: RING_SIZE } });
  });

  it("sees a gap when an empty ring is full at the next look", () => {
    const window = new EventWindow();
    window.take([]);
    expect(window.take(ringAfter(RING_SIZE - 1)).gap).toBe(false);
    const overrun = new EventWindow();
    overrun.take([]);
    expect(overrun.take(ringAfter(300)).gap).toBe(true);
  });

  it("sees a gap when the agent was restarted and its ring is another", () => {
    const window = new EventWindow();
    window.take(events(0, 10));
    expect(window.take([])).toEqual({ gap: true, fresh: [] });
    expect(window.take(events(20, 21))).toEqual({ gap: false, fresh: [event(20)] });
  });

  it("gives an event once that stands in the ring twice, or comes again", () => {
    const window = new EventWindow();
    expect(window.take([event(1), event(1), event(2)]).fresh).toEqual([event(1), event(2)]);
    expect(window.take([event(2), event(3), event(1)]).fresh).toEqual([event(3)]);
  });

  it("remembers a bounded number of IDs, whatever the length of the ring", () => {
    const window = new EventWindow(RING_SIZE);
    window.take(events(0, 10_000));
    expect(window.remembered).toBe(RING_SIZE);
    expect(window.take(events(0, 10_000)).fresh).toEqual([]);
    expect(() => new EventWindow(RING_SIZE - 1)).toThrow(RangeError);
  });

  it("gives each event once and reports each overrun, for any rhythm of events and reads", () => {
    const bursts = fc.array(fc.integer({ min: 0, max: 2 * RING_SIZE }), { maxLength: 40 });
    fc.assert(
      fc.property(bursts, fc.array(fc.nat({ max: RING_SIZE - 1 })), (arrivals, repeated) => {
        const window = new EventWindow();
        const given = new Set<string>();
        let seen = 0;
        for (const [read, burst] of arrivals.entries()) {
          const before = seen;
          seen += burst;
          const ring = ringAfter(seen);
          const doubled = repeated.flatMap((at) => ring[at] ?? []);
          const { fresh, gap } = window.take([...ring, ...doubled]);
          expect(fresh.filter(({ id }) => given.has(id))).toEqual([]);
          for (const { id } of fresh) given.add(id);
          // Whatever came and went unseen is behind a gap; a burst that fits is whole.
          if (read > 0 && burst > RING_SIZE) expect(gap).toBe(true);
          if (read > 0 && burst < RING_SIZE) expect(gap).toBe(false);
          const due = gap || read === 0 ? ringAfter(seen) : events(before, seen);
          expect(due.filter(({ id }) => !given.has(id))).toEqual([]);
          expect(window.remembered).toBeLessThanOrEqual(8 * RING_SIZE);
        }
      }),
      { numRuns: 50 },
    );
  });
});
