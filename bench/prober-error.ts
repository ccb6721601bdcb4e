/**
 * How much our prober adds to a round trip: on loopback, where there is next to no network, beside a C program that
 * takes the kernel's own time stamps of the same path to the same reflector.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "../src/beacon/link-statistics.js";
import type { ProbeEndpoint } from "../src/sidecar/probe/probe-settings.js";
import { ProberBench } from "../test/harness/prober-bench.js";
import { CPeers } from "./c-peers.js";
import { median, range, type Report, runBench } from "./report.js";

const INTERVAL_MS = 10;
/** First probes of a session, until the path through the code is compiled and in the caches. Nobody's are counted. */
const WARM_UP = 20;

interface Way {
  what: string;
  /** Round trips in microseconds of `count` probes. */
  probe(count: number): Promise<number[]>;
}

await runBench({ rounds: 9, probes: 100 }, measure);

async function measure({ rounds, probes }: { rounds: number; probes: number }, signal: AbortSignal): Promise<Report> {
  const peers = new CPeers(signal);
  const ours = new ProberBench({ intervalMs: INTERVAL_MS });
  const ourReflector = new ProberBench({ listen: [{ address: "127.0.0.1", port: 0 }] });
  try {
    const cReflector = await peers.reflect("127.0.0.1");
    await ours.prober.start();
    const [endpoint] = await ourReflector.prober.start();
    ourReflector.prober.setPeers({ targets: [], senders: [{ id: "bench", address: "127.0.0.1", stateful: true }] });
    const ways: Way[] = [
      { what: "C to C, the kernel's stamps", probe: async (count) => (await peers.send(cReflector, count, INTERVAL_MS)).kernelUs },
      { what: "C to C, read by the program", probe: async (count) => (await peers.send(cReflector, count, INTERVAL_MS)).readUs },
      { what: "our prober to C", probe: (count) => probeWith(ours, cReflector, count, signal) },
      { what: "our prober to our reflector", probe: (count) => probeWith(ours, endpoint as ProbeEndpoint, count, signal) },
    ];
    const p50s = ways.map((): number[] => []);
    const p99s = ways.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      // Every way starts as often early as late in a round.
      for (let turn = 0; turn < ways.length; turn++) {
        const at = (round + turn) % ways.length;
        const rttUs = (await (ways[at] as Way).probe(WARM_UP + probes)).slice(WARM_UP).sort((a, b) => a - b);
        p50s[at]?.push(percentile(rttUs, 0.5));
        p99s[at]?.push(percentile(rttUs, 0.99));
      }
    }
    return reportOf(ways, p50s, p99s, rounds, probes);
  } finally {
    await Promise.all([ours.prober.stop(), ourReflector.prober.stop()]);
    peers.stop();
  }
}

/** A new session each time. A stalled reading is no round trip and is not in the answer. */
async function probeWith({ prober, samples }: ProberBench, to: ProbeEndpoint, count: number, signal: AbortSignal): Promise<number[]> {
  samples.length = 0;
  prober.setPeers({ targets: [{ id: "reflector", ...to, reflector: "stateful" }], senders: [] });
  while (samples.length < count) await sleep(INTERVAL_MS, undefined, { signal });
  prober.setPeers({ targets: [], senders: [] });
  const lost = samples.filter(({ outcome }) => outcome === "lost").length;
  if (lost > 0) throw new Error(`${String(lost)} probes were lost on loopback, so their times mean nothing`);
  return samples.slice(0, count).flatMap((sample) => (sample.outcome === "received" ? [sample.rttUs] : []));
}

function reportOf(ways: readonly Way[], p50s: readonly number[][], p99s: readonly number[][], rounds: number, probes: number): Report {
  const base = p50s[0] as number[];
  return {
    title: "Error of the prober on loopback",
    method:
      `Method: ${String(rounds)} rounds; in each, ${String(probes)} probes of 44 bytes every way after ${String(WARM_UP)} uncounted ones, one in flight, ${String(INTERVAL_MS)} ms apart,\n` +
      "in turns. All subtract the reflector's residence. The first row takes the receive time from the kernel (SO_TIMESTAMPNS), as\n" +
      "ping does. Difference and ratio are to it, of medians (p50) within a round; all figures are medians of the rounds.",
    columns: [
      { key: "what", heading: "What" },
      { key: "p50Us", heading: "p50 µs", digits: 1 },
      { key: "p99Us", heading: "p99 µs", digits: 1 },
      { key: "differenceUs", heading: "Difference µs", digits: 1 },
      { key: "differenceRange", heading: "Min–max" },
      { key: "ratio", heading: "Ratio", digits: 2 },
    ],
    rows: ways.map(({ what }, at) => {
      const own = p50s[at] as number[];
      const differences = own.map((us, round) => us - (base[round] as number));
      return {
        what, p50Us: median(own), p99Us: median(p99s[at] as number[]), differenceUs: at === 0 ? null : median(differences),
        differenceRange: at === 0 ? null : range(differences, 1), ratio: median(own.map((us, round) => us / (base[round] as number))),
      };
    }),
  };
}
