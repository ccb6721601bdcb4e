/**
 * Processor time of 1,000 probes: of a process that runs the prober's worker with eight peers, less what the same
 * process takes with none. The reflectors are other processes, so only the sender's side is in it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_PROBE_SETTINGS, type ProbeTarget } from "../src/sidecar/probe/probe-settings.js";
import { FAST_PROBING, ProberBench } from "../test/harness/prober-bench.js";
import { CPeers } from "./c-peers.js";
import { median, range, type Report, runBench } from "./report.js";

const PEERS = 8;
const KEY = Buffer.alloc(32, 7);
/** Sessions, first probes and compiling are over after it. */
const SETTLE_MS = 500;

interface Load {
  what: string;
  /** Between two probes to one peer. */
  intervalMs: number;
  targets: ProbeTarget[];
}

interface Cost {
  cpuUs: number;
  probes: number;
  wallMs: number;
}

await runBench({ rounds: 3, seconds: 2 }, measure);

async function measure({ rounds, seconds }: { rounds: number; seconds: number }, signal: AbortSignal): Promise<Report> {
  const peers = new CPeers(signal);
  const bench = new ProberBench();
  try {
    const plain = await targetsOf(peers);
    const keyed = await targetsOf(peers, KEY);
    const loads: Load[] = [
      { what: `${String(PEERS)} keyed peers, each every 1 s (default)`, intervalMs: 1_000, targets: keyed },
      { what: `${String(PEERS)} keyed peers, each every 100 ms`, intervalMs: 100, targets: keyed },
      { what: `${String(PEERS)} peers without keys, each every 100 ms`, intervalMs: 100, targets: plain },
    ];
    const idle: Load = { what: "idle", intervalMs: 1_000, targets: [] };
    await bench.prober.start();
    for (const load of loads) await run(bench, load, 1, signal); // compiles the code, and is not counted
    const perThousandMs = loads.map((): number[] => []);
    const bareMs: number[] = [];
    const idlePerSecondMs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const rest = await run(bench, idle, seconds, signal);
      idlePerSecondMs.push(rest.cpuUs / rest.wallMs);
      for (const [at, load] of loads.entries()) {
        const { cpuUs, probes, wallMs } = await run(bench, load, seconds, signal);
        perThousandMs[at]?.push((cpuUs - (rest.cpuUs * wallMs) / rest.wallMs) / probes);
      }
      const bare = await peers.send(plain[0] as ProbeTarget, 80 * seconds, 1_000 / 80);
      bareMs.push(bare.cpuUs / bare.kernelUs.length);
    }
    const costs = loads.map(({ what }, at) => [what, perThousandMs[at] as number[]] as const);
    return reportOf([["C sender without keys, a probe every 12.5 ms", bareMs], ...costs], median(idlePerSecondMs), rounds, seconds);
  } finally {
    await bench.prober.stop();
    peers.stop();
  }
}

async function targetsOf(peers: CPeers, key?: Uint8Array): Promise<ProbeTarget[]> {
  return Promise.all(
    Array.from({ length: PEERS }, async (_, at): Promise<ProbeTarget> => {
      const endpoint = await peers.reflect(`127.0.0.${String(at + 1)}`, key);
      return { id: String(at), ...endpoint, reflector: "stateful", ...(key === undefined ? {} : { key }) };
    }),
  );
}

/** All threads of this process over some seconds, and the probes that were answered in them. */
async function run(bench: ProberBench, { intervalMs, targets }: Load, seconds: number, signal: AbortSignal): Promise<Cost> {
  bench.prober.setSettings({ ...FAST_PROBING, reportMs: DEFAULT_PROBE_SETTINGS.reportMs, intervalMs });
  bench.prober.setPeers({ targets, senders: [] });
  await sleep(SETTLE_MS, undefined, { signal });
  const [from, startMs, before] = [process.cpuUsage(), performance.now(), bench.samples.length];
  await sleep(seconds * 1_000, undefined, { signal });
  const { user, system } = process.cpuUsage(from);
  const answered = bench.samples.slice(before);
  if (answered.some(({ outcome }) => outcome === "lost")) throw new Error("a probe was lost on loopback");
  return { cpuUs: user + system, probes: answered.length, wallMs: performance.now() - startMs };
}

function reportOf(rows: readonly (readonly [string, number[]])[], idlePerSecondMs: number, rounds: number, seconds: number): Report {
  const base = median(rows[0]?.[1] ?? []);
  return {
    title: "Processor time of probing",
    method:
      `Method: ${String(rounds)} rounds; in each, ${String(seconds)} s with no peer, then every load for as long, in this process: main thread, worker, samples\n` +
      "and reports handed over (process.cpuUsage, all threads). The time without peers, scaled to the same span, is subtracted: it\n" +
      `was ${idlePerSecondMs.toFixed(2)} ms a second. The C sender does no more than send, receive and subtract. The ratio is to it; medians of the rounds.`,
    columns: [
      { key: "what", heading: "What" },
      { key: "cpuMsPerThousand", heading: "CPU ms per 1,000 probes", digits: 0 },
      { key: "cpuRange", heading: "Min–max" },
      { key: "ratio", heading: "Ratio", digits: 1 },
    ],
    rows: rows.map(([what, ms]) => ({ what, cpuMsPerThousand: median(ms), cpuRange: range(ms, 0), ratio: median(ms) / base })),
  };
}
