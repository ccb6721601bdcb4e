import { jest } from "@jest/globals";
import { stepJitter, type JitterState } from "../../src/beacon/link-statistics-jitter.js";
import { summarizeProbes, type ProbeSample, type ReceivedProbe } from "../../src/beacon/link-statistics.js";
import type { DirectionModel } from "../harness/network-model.js";
import { ProberBench } from "../harness/prober-bench.js";
import { trueRoundTripsUs, UdpRelay, type RelayedPacket } from "../harness/udp-relay.js";

jest.setTimeout(60_000);

interface Path { forward: DirectionModel; backward: DirectionModel; probes: number; authenticated?: boolean; timeoutMs?: number }
interface Measured { samples: ProbeSample[]; summary: ReturnType<typeof summarizeProbes>; truth: RelayedPacket[] }

const key = Buffer.alloc(32, 5);
const bounds = { startMs: 0, endMs: 1, reflector: "stateful" as const };

/** Probes through a relay until enough were counted; what comes after the relay ended is cut off. */
async function measure({ forward, backward, probes, authenticated = false, timeoutMs = 1000 }: Path): Promise<Measured> {
  const keyed = authenticated ? { key } : {};
  const reflector = new ProberBench({ listen: [{ address: "127.0.0.1", port: 0 }] });
  const sender = new ProberBench({ timeoutMs });
  const [target] = await reflector.prober.start();
  if (target === undefined) throw new Error("no reflector");
  reflector.prober.setPeers({ targets: [], senders: [{ id: "s", address: "127.0.0.1", stateful: true, ...keyed }] });
  const relay = await UdpRelay.start({ target, forward, backward, seed: 7, authenticated });
  await sender.prober.start();
  sender.prober.setPeers({ targets: [{ id: "r", ...relay.endpoint, reflector: "stateful", ...keyed }], senders: [] });
  await sender.untilCounted("r", probes);
  await sender.prober.stop();
  const truth = await relay.stop();
  await reflector.prober.stop();
  const last = Math.max(...sender.counted("r").map(({ sequence }) => sequence));
  const samples = sender.samples.filter(({ sequence }) => sequence <= last);
  return { samples, summary: summarizeProbes(samples, bounds), truth: truth.filter(({ sequence }) => sequence <= last) };
}

const received = (samples: readonly ProbeSample[]): ReceivedProbe[] =>
  samples.filter((sample): sample is ReceivedProbe => sample.outcome === "received");

/** The probes that were answered, with the round trips that the relay made of them. */
function truthOf({ samples, truth }: Measured): ReceivedProbe[] {
  const roundTrips = trueRoundTripsUs(truth);
  return received(samples).map((sample) => ({ ...sample, rttUs: roundTrips.get(sample.sequence) ?? NaN }));
}

/**
 * The mean of the smoothed jitter over the series. Its last value remembers some 16 probes, so one
 * late wake-up of a busy machine would decide the comparison.
 */
function meanJitterUs(probes: readonly ReceivedProbe[]): number {
  let state: JitterState | undefined;
  const values = probes.map(({ rttUs }) => (state = stepJitter(state, rttUs)).jitterUs ?? 0);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const within = (value: number | undefined, truth: number | undefined, absolute: number, ratio: number): void => {
  if (value === undefined || truth === undefined) throw new Error("unmeasured");
  expect(Math.abs(value - truth)).toBeLessThanOrEqual(Math.max(absolute, truth * ratio));
};

const paths: Record<string, Path> = {
  "a fixed delay": { forward: { delayMs: 9 }, backward: { delayMs: 15 }, probes: 150 },
  "a fixed delay, authenticated": { forward: { delayMs: 9 }, backward: { delayMs: 15 }, probes: 150, authenticated: true },
  "normal jitter": { forward: { delayMs: 12, jitterSigmaMs: 4 }, backward: { delayMs: 12, jitterSigmaMs: 4 }, probes: 200 },
  "bursty jitter": {
    forward: { delayMs: 12, jitterSigmaMs: 2, burst: { chance: 0.1, packets: 4, extraMs: 25 } }, backward: { delayMs: 12, jitterSigmaMs: 2 }, probes: 200,
  },
};

test.each(Object.entries(paths))("%s is measured as the relay made it", async (name, path) => {
  const measured = await measure(path);
  const truth = truthOf(measured);
  within(measured.summary.rtt?.p50Us, summarizeProbes(truth, bounds).rtt?.p50Us, 500, 0.05);
  // Of a fixed delay there is no jitter to be 10 % of: what is left is the machine's.
  if (name.includes("jitter")) within(meanJitterUs(received(measured.samples)), meanJitterUs(truth), 0, 0.1);
  expect(measured.summary).toMatchObject({ lost: 0, lossRatio: 0 });
});

test("bursts of loss in both directions are counted one by one, and each direction has its own", async () => {
  const lossy = { goodToBad: 0.05, badToGood: 0.4, lossInGood: 0.01, lossInBad: 0.7 };
  const measured = await measure({
    forward: { delayMs: 1, loss: lossy }, backward: { delayMs: 1, loss: { ...lossy, goodToBad: 0.02 } }, probes: 200, timeoutMs: 250,
  });
  const { summary, truth, samples } = measured;
  const lost = (direction: RelayedPacket["direction"]): number[] =>
    truth.filter((packet) => packet.direction === direction && packet.lost).map(({ sequence }) => sequence);
  // An answer that a busy machine held for longer than the timeout is rightly lost, on its way back.
  const late = samples.filter(({ outcome }) => outcome === "late").map(({ sequence }) => sequence);
  const [forward, backward] = [lost("forward"), [...lost("backward"), ...late]];
  expect(summary.lost).toBe(forward.length + backward.length);

  // Tighter than the 95 % interval of the sample: what the relay dropped is what was counted.
  expect(summary.lossRatio).toBeCloseTo((forward.length + backward.length) / summary.sent, 10);

  expect(summary.bursts).toEqual(runsOf([...forward, ...backward]));
  const direction = summary.direction;
  if (direction === undefined) throw new Error("no direction");
  // What was lost before the first answer and after the last stays undetermined; the rest is exact.
  const inOrder = samples.filter(({ outcome }) => outcome !== "lost").map(({ sequence }) => sequence).sort((a, b) => a - b);
  const [first = 0, last = 0] = [inOrder[0], inOrder.at(-1)];
  const bracketed = (sequences: number[]): number => sequences.filter((sequence) => sequence >= first && sequence <= last).length;
  expect(direction).toEqual({
    forwardLost: bracketed(forward), backwardLost: bracketed(backward),
    undetermined: summary.lost - bracketed([...forward, ...backward]),
  });
});

function runsOf(sequences: number[]): { count: number; longest: number; meanLength?: number } {
  const lengths: number[] = [];
  let previous = -2;
  for (const sequence of [...sequences].sort((a, b) => a - b)) {
    if (sequence === previous + 1) lengths.push((lengths.pop() ?? 0) + 1);
    else lengths.push(1);
    previous = sequence;
  }
  return { count: lengths.length, longest: Math.max(0, ...lengths), ...(lengths.length === 0 ? {} : { meanLength: sequences.length / lengths.length }) };
}

test("answers held beyond the timeout are lost, then late and reordered; copies are duplicates", async () => {
  const { summary, truth, samples } = await measure({
    forward: { delayMs: 1 },
    backward: { delayMs: 1, reorder: { chance: 0.1, extraMs: 60 }, duplicate: { chance: 0.2, afterMs: 2 } },
    probes: 200, timeoutMs: 30,
  });
  const copies = truth.filter(({ direction, leftUs }) => direction === "backward" && leftUs.length > 1).length;
  const held = truth.filter(({ direction, reordered }) => direction === "backward" && reordered).length;
  expect(held).toBeGreaterThan(5);
  // The last few may still be on their way when the relay ends.
  expect(summary.late).toBeGreaterThanOrEqual(held - 3);
  expect(summary.duplicates).toBeGreaterThanOrEqual(copies - 3);
  expect(summary.duplicates).toBeLessThanOrEqual(copies);
  expect(summary.reordered).toBeGreaterThan(0);
  const late = samples.filter(({ outcome }) => outcome === "late").map(({ sequence }) => sequence);
  const inTime = new Set(received(samples).map(({ sequence }) => sequence));
  expect(late.some((sequence) => inTime.has(sequence))).toBe(false);
});

test("copies on the way out are refused by the reflector as replays and seen by nobody else", async () => {
  const { summary, truth } = await measure({
    forward: { delayMs: 1, duplicate: { chance: 0.5, afterMs: 1 } }, backward: { delayMs: 1 }, probes: 100,
  });
  expect(truth.filter(({ direction }) => direction === "backward").length).toBe(summary.sent);
  expect(summary).toMatchObject({ duplicates: 0, lost: 0 });
});
