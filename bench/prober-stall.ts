/**
 * What a busy main thread does to a measurement, with the probing on that thread and with it in the prober's worker:
 * the same path of known delay, with and without a main thread that blocks for 20 ms in every 100.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { percentile, type ProbeSample } from "../src/beacon/link-statistics.js";
import { ProbeEngine } from "../src/sidecar/probe/probe-engine.js";
import type { ProbeEndpoint, ProbeSettings, ProbeTarget } from "../src/sidecar/probe/probe-settings.js";
import { FAST_PROBING, ProberBench } from "../test/harness/prober-bench.js";
import { trueRoundTripsUs, UdpRelay } from "../test/harness/udp-relay.js";
import { CPeers } from "./c-peers.js";
import { median, type Report, runBench } from "./report.js";

const BLOCK_MS = 20;
const EVERY_MS = 100;
/** Each way, by a relay in a thread of its own: long enough for answers to come in the middle of a block. */
const DELAY_MS = 10;
/** No part of EVERY_MS, so that probes meet every moment of the blocks. */
const SETTINGS: ProbeSettings = { ...FAST_PROBING, intervalMs: 23 };

type Collect = (target: ProbeTarget, ms: number, signal: AbortSignal) => Promise<ProbeSample[]>;

interface Way {
  what: string;
  collect: Collect;
  blocked: boolean;
}

const WAYS: readonly Way[] = [
  { what: "on the main thread, free", collect: onMainThread, blocked: false },
  { what: "on the main thread, blocked", collect: onMainThread, blocked: true },
  { what: "in the worker, main thread free", collect: inWorker, blocked: false },
  { what: "in the worker, main thread blocked", collect: inWorker, blocked: true },
];

await runBench({ rounds: 4, seconds: 2 }, measure);

async function measure({ rounds, seconds }: { rounds: number; seconds: number }, signal: AbortSignal): Promise<Report> {
  const peers = new CPeers(signal);
  try {
    const reflector = await peers.reflect("127.0.0.1");
    for (const way of WAYS) await once(way, reflector, 500, signal); // compiles the code, and is not counted
    const results = WAYS.map((): Result[] => []);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < WAYS.length; turn++) {
        const at = (round + turn) % WAYS.length;
        results[at]?.push(await once(WAYS[at] as Way, reflector, seconds * 1_000, signal));
      }
    }
    return reportOf(results, rounds, seconds);
  } finally {
    peers.stop();
  }
}

interface Result {
  probes: number;
  p50Us: number;
  p99Us: number;
  /** Beyond what the relay itself took for the same probe. */
  errorP99Us: number;
  discarded: number;
  lost: number;
}

async function once({ collect, blocked }: Way, target: ProbeEndpoint, ms: number, signal: AbortSignal): Promise<Result> {
  const delay = { delayMs: DELAY_MS };
  const relay = await UdpRelay.start({ target, forward: delay, backward: delay, seed: 1, authenticated: false });
  const blocking = blocked ? setInterval(block, EVERY_MS) : undefined;
  const samples = await collect({ id: "r", ...relay.endpoint, reflector: "stateful" }, ms, signal).finally(() => clearInterval(blocking));
  const truth = trueRoundTripsUs(await relay.stop());
  const received = samples.flatMap((sample) => (sample.outcome === "received" ? [sample] : []));
  const rtts = received.map(({ rttUs }) => rttUs).sort((a, b) => a - b);
  const errors = received.map(({ sequence, rttUs }) => rttUs - (truth.get(sequence) ?? NaN)).sort((a, b) => a - b);
  const of = (outcome: ProbeSample["outcome"]) => samples.filter((sample) => sample.outcome === outcome).length;
  return {
    probes: received.length + of("discarded") + of("lost"), p50Us: percentile(rtts, 0.5), p99Us: percentile(rtts, 0.99),
    errorP99Us: percentile(errors, 0.99), discarded: of("discarded"), lost: of("lost"),
  };
}

function block(): void {
  const untilMs = performance.now() + BLOCK_MS;
  while (performance.now() < untilMs); // what a long callback does to the loop
}

async function onMainThread(target: ProbeTarget, ms: number, signal: AbortSignal): Promise<ProbeSample[]> {
  const samples: ProbeSample[] = [];
  const engine = new ProbeEngine(SETTINGS, { onSample: ({ sample }) => samples.push(sample), onReport: () => {} });
  await engine.start({ targets: [target], senders: [] });
  try {
    await sleep(ms, undefined, { signal });
  } finally {
    await engine.stop();
  }
  return samples;
}

async function inWorker(target: ProbeTarget, ms: number, signal: AbortSignal): Promise<ProbeSample[]> {
  const { prober, samples } = new ProberBench(SETTINGS);
  await prober.start();
  prober.setPeers({ targets: [target], senders: [] });
  try {
    await sleep(ms, undefined, { signal });
  } finally {
    await prober.stop();
  }
  return samples;
}

function reportOf(results: readonly (readonly Result[])[], rounds: number, seconds: number): Report {
  const base = median((results[0] as Result[]).map(({ p50Us }) => p50Us));
  return {
    title: "A blocked main thread",
    method:
      `Method: ${String(rounds)} rounds of ${String(seconds)} s each way, in turns, one probe every ${String(SETTINGS.intervalMs)} ms to a C reflector behind a relay that holds\n` +
      `packets ${String(DELAY_MS)} ms each way. Blocked: the main thread spins for ${String(BLOCK_MS)} ms every ${String(EVERY_MS)} ms. Discarded: answered, but read just after a\n` +
      "stall of the reading thread, so without a round trip. Error: the round trip less what the relay took for the same probe.\n" +
      "Times are medians of the rounds, probes are counted over all rounds; the ratio is of p50 to the first row.",
    columns: [
      { key: "what", heading: "Probing" },
      { key: "p50Us", heading: "p50 µs" },
      { key: "p99Us", heading: "p99 µs" },
      { key: "errorP99Us", heading: "Error p99 µs" },
      { key: "ratio", heading: "Ratio", digits: 3 },
      { key: "probes", heading: "Probes" },
      { key: "discarded", heading: "Discarded" },
      { key: "lost", heading: "Lost" },
    ],
    rows: results.map((runs, at) => {
      const mid = (key: keyof Result) => median(runs.map((run) => run[key]));
      const sum = (key: keyof Result) => runs.reduce((total, run) => total + run[key], 0);
      return {
        what: (WAYS[at] as Way).what, p50Us: mid("p50Us"), p99Us: mid("p99Us"), errorP99Us: mid("errorP99Us"),
        ratio: mid("p50Us") / base, probes: sum("probes"), discarded: sum("discarded"), lost: sum("lost"),
      };
    }),
  };
}
