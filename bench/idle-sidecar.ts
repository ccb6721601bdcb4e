/**
 * Memory and processor time of an idle sidecar in a three-node cluster with the default periods, beside a Node process
 * that does nothing and the Consul agents of the same cluster, all over the same seconds. Linux only: it reads /proc.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { type LocalCluster, type LocalNode, startLocalCluster } from "../src/dev/local-cluster.js";
import { createProgress } from "../src/dev/progress.js";
import { waitFor } from "../src/dev/readiness.js";
import { clockTicksPerSecond, cpuTicks, memory } from "./proc.js";
import { median, range, type Report, runBench } from "./report.js";

/** Away from the ports of `hypercore dev` (0) and of the tests (5). */
const FIRST_SHIFT = 12;
const NODES = 3;
const SAMPLES = 12;

interface Group {
  what: string;
  pids: readonly number[];
}

interface Usage {
  rssMb: number;
  /** Absent where /proc has no smaps_rollup. */
  pssMb: number | undefined;
  cpuPercent: number;
}

await runBench({ "warm-up": 30, seconds: 60 }, ({ "warm-up": warmUp, seconds }, signal) => measure(warmUp, seconds, signal));

async function measure(warmUpS: number, seconds: number, signal: AbortSignal): Promise<Report> {
  const progress = createProgress();
  const bare = spawn(process.execPath, ["-e", "setInterval(()=>{},1e3)"], { stdio: "ignore" });
  let cluster: LocalCluster | undefined;
  try {
    cluster = await startLocalCluster({ nodes: NODES, firstShift: FIRST_SHIFT, folderPrefix: "hypercore-bench", env: process.env, progress, signal });
    await allSeeAll(cluster.nodes, signal);
    progress.note(`Idle for ${String(warmUpS)} s, then measured for ${String(seconds)} s`);
    await sleep(warmUpS * 1_000, undefined, { signal });
    const groups = groupsOf(cluster.nodes, bare.pid as number);
    return reportOf(groups, await observe(groups.flatMap(({ pids }) => pids), seconds, signal), warmUpS, seconds);
  } finally {
    bare.kill();
    await cluster?.stop();
  }
}

/** Idle means settled: every sidecar has a verified beacon of every node. */
async function allSeeAll(nodes: readonly LocalNode[], signal: AbortSignal): Promise<void> {
  for (const { name, sidecar } of nodes) {
    const seesAll = async (attempt: AbortSignal): Promise<true | undefined> => {
      const list = await sidecar?.getJson<{ response: { states?: { beacon?: object }[] } }>("/list", attempt);
      return list?.response.states?.filter(({ beacon }) => beacon !== undefined).length === nodes.length || undefined;
    };
    await waitFor(`every beacon at ${name}`, seesAll, { timeoutMs: 60_000, signal });
  }
}

function groupsOf(nodes: readonly LocalNode[], barePid: number): Group[] {
  const pidsOf = (services: readonly ({ pid: number | undefined } | null)[]) => services.map((service) => service?.pid as number);
  return [
    { what: "bare Node process", pids: [barePid] },
    { what: `sidecar (${String(nodes.length)} of them)`, pids: pidsOf(nodes.map(({ sidecar }) => sidecar)) },
    { what: "Consul client agent (2 of them)", pids: pidsOf(nodes.filter(({ consul }) => !consul.isServer).map(({ consul }) => consul)) },
    { what: "Consul server agent", pids: pidsOf(nodes.filter(({ consul }) => consul.isServer).map(({ consul }) => consul)) },
  ];
}

/** Memory is the median of the samples, processor time that of the whole span. Throws where a process has gone. */
async function observe(pids: readonly number[], seconds: number, signal: AbortSignal): Promise<Map<number, Usage>> {
  const from = performance.now();
  const before = pids.map(cpuTicks);
  const samples: ReturnType<typeof memory>[][] = [];
  for (let i = 1; i <= SAMPLES; i++) {
    await sleep(Math.max(0, (seconds * 1_000 * i) / SAMPLES - (performance.now() - from)), undefined, { signal });
    samples.push(pids.map(memory));
  }
  const after = pids.map(cpuTicks);
  const ticksInAll = ((performance.now() - from) / 1_000) * clockTicksPerSecond();
  return new Map(
    pids.map((pid, at) => {
      const own = samples.map((sample) => sample[at] as ReturnType<typeof memory>);
      const pss = own.map(({ pssMb }) => pssMb).filter((mb) => mb !== undefined);
      const usage: Usage = {
        rssMb: median(own.map(({ rssMb }) => rssMb)),
        pssMb: pss.length === 0 ? undefined : median(pss),
        cpuPercent: (100 * ((after[at] as number) - (before[at] as number))) / ticksInAll,
      };
      return [pid, usage];
    }),
  );
}

function reportOf(groups: readonly Group[], usages: ReadonlyMap<number, Usage>, warmUpS: number, seconds: number): Report {
  const of = ({ pids }: Group) => pids.map((pid) => usages.get(pid) as Usage);
  const rss = (group: Group) => median(of(group).map(({ rssMb }) => rssMb));
  const bareRssMb = rss(groups[0] as Group);
  return {
    title: `Idle sidecar, ${String(NODES)} nodes`,
    method:
      `Method: one cluster with default periods, idle for ${String(warmUpS)} s, then watched for ${String(seconds)} s, all processes at once. Memory from\n` +
      `/proc/PID/status (RSS) and smaps_rollup (PSS: shared pages divided among those who share), median of ${String(SAMPLES)} samples; CPU from\n` +
      "/proc/PID/stat over the whole span, in percent of one core. Of several processes the median. MB = 10^6 bytes.\n" +
      "The ratio is to the RSS of the bare Node process. The ancestor's idle node, which is its own cluster too, had 28 to 30 MB.",
    columns: [
      { key: "what", heading: "Process" },
      { key: "rssMb", heading: "RSS MB", digits: 1 },
      { key: "rssRange", heading: "Min–max" },
      { key: "pssMb", heading: "PSS MB", digits: 1 },
      { key: "rssRatio", heading: "RSS ratio", digits: 2 },
      { key: "cpuPercent", heading: "CPU %", digits: 2 },
      { key: "cpuRange", heading: "Min–max" },
    ],
    rows: groups.map((group) => {
      const pss = of(group).map(({ pssMb }) => pssMb).filter((mb) => mb !== undefined);
      return {
        what: group.what,
        rssMb: rss(group),
        rssRange: range(of(group).map(({ rssMb }) => rssMb), 1),
        pssMb: pss.length === 0 ? null : median(pss),
        rssRatio: rss(group) / bareRssMb,
        cpuPercent: median(of(group).map(({ cpuPercent }) => cpuPercent)),
        cpuRange: range(of(group).map(({ cpuPercent }) => cpuPercent), 2),
      };
    }),
  };
}
