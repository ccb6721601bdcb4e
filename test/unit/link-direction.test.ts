import fc from "fast-check";
import { lossDirection, type DirectionEvidence } from "../../src/beacon/link-statistics-direction.js";

const got = (sequence: number, reflectorSequence: number): DirectionEvidence => ({ sequence, lost: false, reflectorSequence });
const lost = (sequence: number): DirectionEvidence => ({ sequence, lost: true });

test("one probe lost on its way out and one answer on its way back", () => {
  expect(lossDirection([got(10, 7), lost(11), lost(12), got(13, 9)], "stateful")).toEqual({ forwardLost: 1, backwardLost: 1, undetermined: 0 });
});

test("losses at either end stay undetermined until an answer brackets them", () => {
  expect(lossDirection([lost(0), got(1, 0), lost(2)], "stateful")).toEqual({ forwardLost: 0, backwardLost: 0, undetermined: 2 });
  expect(lossDirection([lost(8), got(9, 8)], "stateful", { sequence: 7, reflectorSequence: 7 })).toEqual({ forwardLost: 1, backwardLost: 0, undetermined: 0 });
});

test("a late answer was lost backward, whatever its gap says", () => {
  expect(lossDirection([got(0, 0), lost(1), { sequence: 1, lost: false, reflectorSequence: 1 }, got(2, 2)], "stateful"))
    .toEqual({ forwardLost: 0, backwardLost: 1, undetermined: 0 });
});

test("a reflector that answers more often than it was asked makes no more losses than there were", () => {
  expect(lossDirection([got(0, 0), lost(1), got(2, 5)], "stateful")).toEqual({ forwardLost: 0, backwardLost: 1, undetermined: 0 });
});

test("a restart of the reflector leaves its gap undetermined", () => {
  expect(lossDirection([got(20, 20), lost(21), got(22, 0)], "stateful")).toMatchObject({ undetermined: 1 });
});

test("a stateless reflector tells nothing, and detection waits for a number that differs", () => {
  const echo = [got(0, 0), lost(1), got(2, 2)];
  expect(lossDirection(echo, "stateless")).toBeUndefined();
  expect(lossDirection(echo, "detect")).toBeUndefined();
  expect(lossDirection([got(0, 0), lost(1), got(2, 1)], "detect")).toEqual({ forwardLost: 1, backwardLost: 0, undetermined: 0 });
});

test("for any loss in both directions the split is the one that happened, but for the last gap", () => {
  const fates = fc.array(fc.constantFrom("back" as const, "forward" as const, "backward" as const), { maxLength: 100 });
  fc.assert(
    fc.property(fates, (list) => {
      let reflected = 0;
      const evidence = [got(0, 0), ...list.map((fate, index): DirectionEvidence => {
        if (fate !== "forward") reflected += 1;
        return fate === "back" ? got(index + 1, reflected) : lost(index + 1);
      })];
      const bracketed = list.slice(0, list.lastIndexOf("back") + 1);
      const count = (fate: string): number => bracketed.filter((item) => item === fate).length;
      expect(lossDirection(evidence, "stateful")).toEqual({
        forwardLost: count("forward"), backwardLost: count("backward"), undetermined: list.length - bracketed.length,
      });
    }),
  );
});
