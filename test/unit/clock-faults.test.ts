/** Whose clock is wrong: one peer's, this node's, or the fleet's; and from which records that is told. */
import { clockFaults } from "../../src/beacon/clock-faults.js";
import { ClockWatch } from "../../src/sidecar/clock-watch.js";
import { ClockTelemetry } from "../../src/sidecar/clock-telemetry.js";
import { identity, NOW_MS, verifiedBeacon } from "../harness/records.js";
import { keyHex } from "../harness/rotations.js";

const HOUR_MS = 3_600_000;
const of = (offsets: Record<string, number>, movedMs?: number) => clockFaults(new Map(Object.entries(offsets)), movedMs);

describe("told apart", () => {
  test("one peer that is ahead or behind, whoever else agrees", () => {
    expect(of({ a: 200, b: -900, c: HOUR_MS })).toEqual({ medianMs: 0, peers: new Map([["c", HOUR_MS]]) });
    expect([...of({ a: 0, b: -HOUR_MS, c: 0 }).peers.keys()]).toEqual(["b"]);
    expect(of({ a: 9_000, b: 0, c: -50_000 }).peers.size).toBe(0); // within what a reader accepts, or on its way
  });

  test("this node's own clock: all the others agree, and it has moved, or never agreed with them", () => {
    for (const offset of [HOUR_MS, -HOUR_MS]) {
      expect(of({ a: offset, b: offset + 100, c: offset - 300 }, -offset)).toMatchObject({ whose: "own", peers: new Map() });
      expect(of({ a: offset, b: offset, c: offset }, undefined).whose).toBe("own");
      expect(of({ a: offset, b: offset, c: offset, d: 0 }, -offset)).toMatchObject({ whose: "own", peers: new Map([["d", -offset]]) });
    }
  });

  test("the fleet's clocks: the others moved together, and this node's did not", () => {
    expect(of({ a: HOUR_MS, b: HOUR_MS, c: HOUR_MS + 40 }, 12)).toMatchObject({ whose: "fleet", peers: new Map() });
  });

  test("nothing, where too few were heard or no two agree", () => {
    expect(of({ a: HOUR_MS })).toEqual({ peers: new Map() });
    expect(of({ a: HOUR_MS, b: 3 * HOUR_MS }).whose).toBeUndefined();
  });
});

/** Clocks that a test steps, and peers that speak once a second. */
class Fleet {
  mono = 0;
  wallMs = NOW_MS;
  sequence = 0;
  readonly peersMs: number[];
  readonly watch: ClockWatch;
  constructor(peers: number) {
    this.peersMs = Array.from({ length: peers }, () => 0);
    this.watch = new ClockWatch({ nowMs: () => this.wallMs + this.mono, monoMs: () => this.mono }, () => keyHex(99));
  }
  beat(times = 1): ReturnType<ClockWatch["judge"]> {
    for (let i = 0; i < times; i += 1) {
      this.mono += 1_000;
      this.sequence += 1;
      this.peersMs.forEach((offset, peer) => this.say(peer, this.sequence, NOW_MS + this.mono + offset));
    }
    return this.watch.judge();
  }
  say(peer: number, sequence: number, issuedAtMs: number, trusted = true): void {
    this.watch.hear(verifiedBeacon({ node: `n${String(peer)}`, sequence, issuedAtMs }, identity(peer + 1)), trusted);
  }
}

describe("heard", () => {
  test("a step of this node's clock is its own, of one peer's that peer's, of all the others' the fleet's; and each heals", () => {
    const fleet = new Fleet(3);
    expect(fleet.beat(5)).toMatchObject({ medianMs: 0, peers: new Map() });
    for (const step of [HOUR_MS, -HOUR_MS]) {
      fleet.wallMs += step;
      expect(fleet.beat(5)).toMatchObject({ whose: "own", medianMs: -step });
      fleet.wallMs -= step;
      expect(fleet.beat(5)).toMatchObject({ medianMs: 0, peers: new Map() });
      fleet.peersMs[1] = step;
      expect(fleet.beat(5)).toMatchObject({ medianMs: 0, peers: new Map([["n1", step]]) });
      fleet.peersMs.fill(step);
      expect(fleet.beat(5)).toMatchObject({ whose: "fleet", medianMs: step });
      fleet.peersMs.fill(0);
      expect(fleet.beat(5).whose).toBeUndefined();
    }
  });

  test("records from before, all at once as at a start, say nothing of a clock", () => {
    const fleet = new Fleet(0);
    for (let peer = 0; peer < 3; peer += 1) for (let sequence = 1; sequence <= 20; sequence += 1) fleet.say(peer, sequence, NOW_MS - HOUR_MS + sequence * 1_000);
    expect(fleet.watch.judge()).toEqual({ peers: new Map() });
  });

  test("a replay, a key that is not the node's, and this node itself are not heard", () => {
    const fleet = new Fleet(3);
    fleet.beat(5);
    fleet.mono += 1_000;
    fleet.say(0, 2, NOW_MS - HOUR_MS);
    fleet.say(1, 99, NOW_MS + HOUR_MS, false);
    expect(fleet.watch.judge()).toMatchObject({ peers: new Map() });
    const own = new ClockWatch({ nowMs: () => NOW_MS, monoMs: () => 0 }, () => keyHex(1));
    own.hear(verifiedBeacon({}, identity(1)), true);
    expect(own.judge()).toEqual({ peers: new Map() });
  });
});

test("each change is told once, when two judgements agree, and in the metrics", () => {
  const fleet = new Fleet(3);
  const told: string[] = [];
  const counts: object[] = [];
  const log = (_: object, message: string): void => void told.push(message.split(":")[0] ?? "");
  const telemetry = new ClockTelemetry({
    clocks: fleet.watch,
    logger: { error: log, warn: log, info: log } as never,
    metrics: { clockOffset: { set: () => {} } as never, clockFaults: (now) => counts.push(now) },
  });
  const beats = (times: number): void => {
    for (let i = 0; i < times; i += 1) {
      fleet.beat();
      telemetry.judge();
    }
  };
  beats(5);
  fleet.wallMs += HOUR_MS;
  beats(5);
  fleet.wallMs -= HOUR_MS;
  beats(5);
  fleet.peersMs[2] = HOUR_MS;
  beats(5);
  expect(told).toEqual(["this node's clock is wrong", "the clocks agree again", "peers' clocks are wrong"]);
  expect(counts.at(-1)).toEqual({ own: 0, fleet: 0, peer: 1 });
});
