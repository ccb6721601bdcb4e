import fc from "fast-check";
import { CHUNK_PROBES, ExchangeLog, type ExchangeRecord } from "../../src/beacon/link-statistics-exchange.js";
import { joinHalves, type LinkHalf } from "../../src/beacon/link-statistics-join.js";

type Fate = "back" | "forward" | "backward";
interface Seen { sequence: number; sent: bigint; answered: bigint }

const fates = fc.array(fc.constantFrom<Fate>("back", "back", "back", "forward", "backward"), { minLength: 3 * CHUNK_PROBES, maxLength: 200 });
const seen = (sequence: number): Seen => ({ sequence, sent: BigInt(sequence) * 1000n + 7n, answered: BigInt(sequence) * 1000n + 400n });

function record(exchanges: readonly Seen[], until: number, session = 77, fromZero = true): ExchangeRecord | undefined {
  const log = new ExchangeLog(session);
  if (fromZero) log.startAtZero();
  for (const { sequence, sent, answered } of exchanges) log.add(sequence, sent, answered);
  log.closeBelow(until);
  return log.record();
}

/** What an honest sender (A) and an honest reflector (R) keep of the same probes. */
function bothEnds(list: readonly Fate[]): { acknowledged: Seen[]; answered: Seen[] } {
  const probes = list.map((fate, sequence) => ({ fate, ...seen(sequence) }));
  return {
    acknowledged: probes.filter(({ fate }) => fate === "back"),
    answered: probes.filter(({ fate }) => fate !== "forward"),
  };
}

const half = (parts: Partial<LinkHalf>): LinkHalf => ({ startMs: 0, endMs: 60_000, ...parts });
const join = (outgoing?: ExchangeRecord, incoming?: ExchangeRecord): ReturnType<typeof joinHalves> =>
  joinHalves(half(outgoing === undefined ? {} : { outgoing }), half(incoming === undefined ? {} : { incoming }));

test("honest ends never dispute, whatever was lost, and the loss of each direction is the one that happened", () => {
  fc.assert(
    fc.property(fates, (list) => {
      const { acknowledged, answered } = bothEnds(list);
      const link = join(record(acknowledged, list.length), record(answered, list.length));
      expect(link.state).not.toBe("disputed");
      const covered = list.slice(0, Math.floor(list.length / CHUNK_PROBES) * CHUNK_PROBES);
      expect(link.fromA).toMatchObject({
        sent: covered.length,
        forwardLost: covered.filter((fate) => fate === "forward").length,
        backwardLost: covered.filter((fate) => fate === "backward").length,
      });
    }),
  );
});

const clean = bothEnds(Array.from<Fate>({ length: 64 }).fill("back"));
const honest = record(clean.answered, 64);

test("without return loss everything is compared", () => {
  expect(join(record(clean.acknowledged, 64), honest)).toEqual({
    state: "agreed", fromA: { sent: 64, forwardLost: 0, backwardLost: 0, compared: 64 },
  });
});

test("a sender that invents an answer to a probe that never arrived is found", () => {
  const lossy = bothEnds(Array.from({ length: 64 }, (_, index): Fate => (index === 20 ? "forward" : "back")));
  expect(join(record([...lossy.acknowledged, seen(20)], 64), record(lossy.answered, 64))).toMatchObject({ state: "disputed", reason: "unanswered-claim" });
});

test("a sender that invents an answer which was lost on its way back cannot know T3", () => {
  const lossy = bothEnds(Array.from({ length: 64 }, (_, index): Fate => (index === 20 ? "backward" : "back")));
  const invented = [...lossy.acknowledged, { ...seen(20), answered: 123n }];
  expect(join(record(invented, 64), record(lossy.answered, 64))).toMatchObject({ state: "disputed", reason: "hash-mismatch" });
});

test.each(["sent", "answered"] as const)("an end that shifts the time %s is found", (field) => {
  const shifted = clean.acknowledged.map((item) => (item.sequence === 33 ? { ...item, [field]: item[field] + 1n } : item));
  expect(join(record(shifted, 64), honest)).toMatchObject({ state: "disputed", reason: "hash-mismatch" });
});

test("a reflector that denies an answer is found; a sender that denies one only raises its own loss", () => {
  const denied = clean.answered.filter(({ sequence }) => sequence !== 5);
  expect(join(record(clean.acknowledged, 64), record(denied, 64))).toMatchObject({ state: "disputed", reason: "unanswered-claim" });
  expect(join(record(denied, 64), honest)).toMatchObject({ state: "agreed", fromA: { backwardLost: 1, compared: 48 } });
});

test("nothing to compare is unconfirmed, never agreed", () => {
  const every = join(record(clean.acknowledged.filter(({ sequence }) => sequence % 4 > 0), 64), honest);
  expect(every).toMatchObject({ state: "unconfirmed", fromA: { backwardLost: 16, compared: 0 } });
  expect(join(honest, undefined)).toEqual({ state: "unconfirmed" });
  expect(join(record(clean.acknowledged, 64, 78), honest)).toEqual({ state: "unconfirmed" });
  expect(join(record([], 64), record([], 64))).toMatchObject({ state: "unconfirmed", fromA: { forwardLost: 64 } });
});

test("a reflector that came into a session late answers only for whole chunks", () => {
  const joined = record(clean.answered.filter(({ sequence }) => sequence >= 20), 64, 77, false);
  expect(joined?.firstChunk).toBe(2);
  expect(join(record(clean.acknowledged, 64), joined)).toMatchObject({ state: "agreed", fromA: { sent: 32, compared: 32 } });
});

test("order of arrival, repetition and what comes after closing change nothing", () => {
  const log = new ExchangeLog(77);
  log.startAtZero();
  for (const { sequence, sent, answered } of [...clean.answered].reverse()) log.add(sequence, sent, answered);
  log.add(3, 1n, 1n);
  log.closeBelow(64);
  log.add(4, 1n, 1n);
  expect(log.record()).toEqual(honest);
});

test("a log keeps its newest chunks, and a record can be cut to fewer", () => {
  const log = new ExchangeLog(77, 4);
  for (let sequence = 0; sequence < 3200; sequence += 1) {
    log.add(sequence, BigInt(sequence), 0n);
    log.closeBelow(sequence);
  }
  log.closeBelow(3200);
  expect(log.record()).toMatchObject({ firstChunk: 196, lastChunk: 199 });
  expect(log.record()?.chunks).toHaveLength(4);
  expect(log.record(2)?.chunks.map(({ index }) => index)).toEqual([198, 199]);
});

test.each([
  [500, 1400, false], [500, 1501, true], [10_000, 12_400, false], [10_000, 12_600, true],
])("round trips of %i and %i µs: disputed %s", (a, b, apart) => {
  const link = joinHalves(half({ rttP50Us: a }), half({ rttP50Us: b }));
  expect(link.reason).toBe(apart ? "rtt-apart" : undefined);
  expect(joinHalves(half({ rttP50Us: a }), { startMs: 50_000, endMs: 110_000, rttP50Us: b }).reason).toBeUndefined();
});
