/**
 * From `npm start`, already built, to the listing of the cluster on stdout; beside what Consul alone takes of it: the
 * same agents, started by the same code without sidecars, until the catalog has them all.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { startLocalCluster } from "../src/dev/local-cluster.js";
import { createProgress } from "../src/dev/progress.js";
import { projectRoot } from "../src/dev/project-root.js";
import { quiet } from "../test/harness/cluster.js";
import { median, type Report, runBench } from "./report.js";

/** Away from the ports of `hypercore dev` (0) and of the tests (5). */
const FIRST_SHIFT = 10;

await runBench({ runs: 7, nodes: 3 }, measure);

async function measure({ runs, nodes }: { runs: number; nodes: number }, signal: AbortSignal): Promise<Report> {
  const progress = createProgress();
  const bare: number[] = [];
  const listing: number[] = [];
  const whole: number[] = [];
  progress.note("Starting both once, not counted"); // compiles what is not compiled and fills the file cache
  await startToListing(nodes, signal);
  await bareConsul(nodes, signal);
  for (let run = 1; run <= runs; run++) {
    progress.note(`Run ${String(run)} of ${String(runs)}`);
    if (run % 2 === 0) bare.push(await bareConsul(nodes, signal));
    const start = await startToListing(nodes, signal);
    if (start.built) throw new Error("sources changed meanwhile, and `npm start` compiled them: measure again");
    if (run % 2 === 1) bare.push(await bareConsul(nodes, signal));
    listing.push(start.listingMs);
    whole.push(start.endMs);
  }
  const row = (what: string, timesMs: readonly number[]) => ({
    what, medianMs: median(timesMs), minMs: Math.min(...timesMs), maxMs: Math.max(...timesMs),
    ratio: median(timesMs.map((ms, i) => ms / (bare[i] as number))),
  });
  return {
    title: `From npm start to the listing, ${String(nodes)} nodes`,
    method:
      `Method: ${String(runs)} runs of \`node scripts/start.mjs --once --nodes ${String(nodes)}\` as whole processes, each beside one start of as many Consul agents\n` +
      "without sidecars (same code and configuration, in this process), in alternating order. The listing counts as there when the\n" +
      "last byte of stdout has come. The ratio is to the bare agents of the same run; times are in ms, the ratio is a median too.",
    columns: [
      { key: "what", heading: "What" },
      { key: "medianMs", heading: "Median" },
      { key: "minMs", heading: "Min" },
      { key: "maxMs", heading: "Max" },
      { key: "ratio", heading: "Ratio", digits: 2 },
    ],
    rows: [row("bare Consul agents, all in the catalog", bare), row("npm start to the listing", listing), row("npm start --once to its end, nothing left", whole)],
  };
}

interface Start {
  /** Both from the spawn. */
  listingMs: number;
  endMs: number;
  /** It was not "already built". */
  built: boolean;
}

/** Rejects where the listing lacks a node's beacon. */
async function startToListing(nodes: number, signal: AbortSignal): Promise<Start> {
  const args = [join(projectRoot(), "scripts/start.mjs"), "--once", "--nodes", String(nodes)];
  const startedAt = performance.now();
  // Aborting sends SIGTERM, on which it takes its cluster down.
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], signal });
  let listingMs = 0;
  child.stdout.on("data", () => (listingMs = performance.now() - startedAt));
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close") as Promise<[number | null]>]);
  const endMs = performance.now() - startedAt;
  const beacons = stdout.match(/^ {2}Beacon ID: /gm)?.length ?? 0;
  if (code !== 0 || beacons !== nodes) throw new Error(`it ended with ${String(code)} and ${String(beacons)} beacons:\n${stderr}${stdout}`);
  return { listingMs, endMs, built: /Compiling|Installing|Building/.test(stderr) };
}

async function bareConsul(nodes: number, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now();
  const cluster = await startLocalCluster({
    nodes, sidecars: false, firstShift: FIRST_SHIFT, folderPrefix: "hypercore-bench", env: process.env, progress: quiet, signal,
  });
  const tookMs = performance.now() - startedAt;
  await cluster.stop();
  return tookMs;
}
