/** One key in two processes: both notice, one goes on, whatever the order in which they were started. */
import { pinKey } from "../../src/beacon/documents.js";
import { verifyEvidence, type Contradiction } from "../../src/beacon/evidence.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { OwnVoice } from "../../src/sidecar/own-voice.js";
import { identity, NOW_MS, verifiedBeacon } from "../harness/records.js";
import { keyHex } from "../harness/rotations.js";

const { signal } = new AbortController();
const keys = new KeyAdmission();

/** A process that signs and hears; `said` is what it published. */
class Process {
  readonly told: string[] = [];
  readonly kept: Contradiction[] = [];
  readonly said: ReturnType<typeof verifiedBeacon>[] = [];
  sequence = 0;
  readonly counter: { epoch: number; raiseAbove: (epoch: number) => boolean };
  readonly voice: OwnVoice;

  constructor(epoch: number, startedAtMs: number, readonly node = "n1", random = 0.5, pins: Record<string, string> = {}) {
    this.counter = {
      epoch,
      raiseAbove: (above) => {
        this.counter.epoch = above + 1;
        this.sequence = 0;
        return true;
      },
    };
    this.voice = new OwnVoice({
      consul: {
        kvGet: async (key) => {
          const modifyIndex = pins[key];
          if (modifyIndex === "down") throw new Error("no leader");
          return { value: modifyIndex === undefined ? null : { key, value: Buffer.from(keyHex(1)), modifyIndex }, index: "1", lastContactMs: 0, knownLeader: true };
        },
      },
      random: () => random,
      ownKey: () => keyHex(1),
      epoch: this.counter,
      keep: (found) => this.kept.push(found),
      observer: { twin: (outcome) => this.told.push(outcome) },
    }, startedAtMs);
  }

  async beat(atMs: number): Promise<void> {
    if (this.voice.yielded) return;
    this.sequence += 1;
    const beacon = verifiedBeacon({ node: this.node, epoch: this.counter.epoch, sequence: this.sequence, issuedAtMs: atMs, queueDepth: Math.round(1_000 * this.said.length + this.counter.epoch) }, identity(1));
    this.said.push(beacon);
    await this.voice.signed(beacon, signal);
  }
}

/** Beats in turns, each hearing all that both have said, its own too. */
async function together(a: Process, b: Process, periods: number): Promise<void> {
  for (let i = 1; i <= periods; i += 1) {
    for (const [offset, one] of [a, b].entries()) {
      await one.beat(NOW_MS + i * 1_000 + offset * 300);
      for (const each of [a, b]) for (const record of [...a.said, ...b.said]) each.voice.hear(record);
    }
  }
}

const proven = (of: Process): boolean[] => [...new Set(of.kept.map((found) => verifyEvidence(found, keys).ok))];

test("started later stays, the earlier yields; both know within three periods, and hold proof", async () => {
  const [earlier, later] = [new Process(5, NOW_MS - 60_000), new Process(6, NOW_MS)];
  await together(earlier, later, 3);
  expect([earlier.told, later.told]).toEqual([["yields"], ["stays"]]);
  expect([earlier.voice.yielded, later.voice.yielded]).toEqual([true, false]);
  expect([proven(earlier), proven(later)]).toEqual([[true], [true]]);
  const silent = earlier.said.length;
  await together(earlier, later, 3);
  expect([earlier.said.length, later.told]).toEqual([silent, ["stays"]]);
});

test("equal epochs part by a random step, and one of the two yields", async () => {
  const [a, b] = [new Process(6, NOW_MS, "n1", 0.1), new Process(6, NOW_MS, "n1", 0.9)];
  await together(a, b, 4);
  expect([a.voice.yielded, b.voice.yielded]).toEqual([true, false]);
  expect(a.said.filter(({ record }) => record.epoch === b.counter.epoch)).toEqual([]);
  expect([...proven(a), ...proven(b)]).not.toContain(false);
  expect(b.kept.length).toBeGreaterThan(0);
});

test("a key in two nodes' sidecars: the node that was pinned first goes on, whatever the epochs", async () => {
  const pins = { [pinKey("dc1", "n1")]: "10", [pinKey("dc1", "n2")]: "99" };
  const [first, clone] = [new Process(5, NOW_MS, "n1", 0.5, pins), new Process(50, NOW_MS, "n2", 0.5, pins)];
  await together(first, clone, 3);
  expect([first.told, clone.told]).toEqual([["stays"], ["yields"]]);
  expect([...proven(first), ...proven(clone)]).not.toContain(false);
});

test("while the pins cannot be read nobody yields, and it is asked again", async () => {
  const pins: Record<string, string> = { [pinKey("dc1", "n1")]: "down", [pinKey("dc1", "n2")]: "99" };
  const [first, clone] = [new Process(5, NOW_MS, "n1", 0.5, pins), new Process(50, NOW_MS, "n2", 0.5, pins)];
  await together(first, clone, 2);
  expect([first.told, clone.told]).toEqual([[], []]);
  pins[pinKey("dc1", "n1")] = "10";
  await together(first, clone, 2);
  expect([first.told, clone.told]).toEqual([["stays"], ["yields"]]);
});

test("what this process signed itself, what it said before its restart, and other keys are no twin", async () => {
  const now = new Process(6, NOW_MS);
  await now.beat(NOW_MS + 1_000);
  for (const heard of [
    ...now.said,
    verifiedBeacon({ node: "n1", epoch: 5, issuedAtMs: NOW_MS - 1 }, identity(1)),
    verifiedBeacon({ node: "n1", epoch: 500, issuedAtMs: NOW_MS - 1 }, identity(1)),
    verifiedBeacon({ node: "n1", epoch: 500, issuedAtMs: NOW_MS + 9 }, identity(2)),
  ]) now.voice.hear(heard);
  await now.beat(NOW_MS + 2_000);
  expect([now.told, now.kept, now.voice.yielded]).toEqual([[], [], false]);
});
