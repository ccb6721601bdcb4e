/** A policy in WebAssembly against the same policy as a JSON file, per candidate: the examples of nomad/policies/wasm. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../src/dev/project-root.js";
import type { Candidate } from "../src/policy/candidate.js";
import { CandidateTable } from "../src/policy/candidate-table.js";
import { decideAmong } from "../src/policy/decide.js";
import type { Evaluator } from "../src/policy/evaluator.js";
import { openPolicy } from "../src/policy/open-policy.js";
import { WasmPolicyError } from "../src/policy/wasm-host.js";
import { candidate } from "../test/harness/candidates.js";
import { NOW_MS } from "../test/harness/records.js";
import { median, range, type Report, runBench } from "./report.js";

const EXAMPLES = [["low-latency", "AssemblyScript"], ["high-trust", "C"], ["short-queue", "Rego"]] as const;
const SIZES = [10, 100, 1_000, 10_000];

await runBench({ rounds: 9 }, measure);

async function measure({ rounds }: { rounds: number }): Promise<Report> {
  const rows: Report["rows"][number][] = [];
  for (const [name, language] of EXAMPLES) {
    const [file, module] = [opened(`${name}.json`), opened(`${name}.wasm`)];
    const firstMs = await elapsedMs(() => best(candidates(1), module));
    for (const nodes of SIZES) rows.push({ policy: name, language, nodes, ...(await compare(file, module, candidates(nodes), rounds)), firstMs });
    await module.close?.();
  }
  return {
    title: "WebAssembly against JSON, the same policy",
    method:
      `Method: ${String(rounds)} rounds; in each, some decisions by the file and some by the module right after one another, over the same\n` +
      "candidates, each with a fresh table; both must choose the same ten. Wall time divided by the candidates; figures are medians of the\n" +
      "rounds, and the ratio is taken within each. The module's time includes the way to its worker and back. First: one candidate with\n" +
      "a worker that is not there yet, and the compilation.",
    columns: [
      { key: "policy", heading: "Policy" },
      { key: "language", heading: "Language" },
      { key: "nodes", heading: "Nodes" },
      { key: "fileUs", heading: "JSON µs each", digits: 2 },
      { key: "moduleUs", heading: "WASM µs each", digits: 2 },
      { key: "ratio", heading: "Ratio", digits: 1 },
      { key: "ratioRange", heading: "Min–max" },
      { key: "firstMs", heading: "First ms", digits: 0 },
      { key: "ended", heading: "Ended" },
    ],
    rows,
  };
}

function opened(name: string): Evaluator {
  const policy = openPolicy(readFileSync(join(projectRoot(), "nomad/policies/wasm", name)), name);
  if (!policy.ok) throw new Error(JSON.stringify(policy.problems));
  return policy.evaluator;
}

/** Nine of ten within every limit of the examples, none with the same score in all of them. */
function candidates(count: number): Candidate[] {
  return Array.from({ length: count }, (_, i) =>
    candidate(i, {
      publicKey: i.toString(16).padStart(64, "0"), latencyUs: 1 + ((i * 7_919) % 55_000), jitterUs: (i * 31) % 9_000,
      reputationPpm: 780_000 + ((i * 7_919) % 220_000), queueDepth: (i * 13) % 22,
    }));
}

async function best(all: readonly Candidate[], spawn: Evaluator): Promise<string> {
  const decision = await decideAmong(new CandidateTable(all), { spawn }, {}, NOW_MS);
  return decision.best(10).map(({ candidate: { node }, scorePpm }) => `${node} ${String(scorePpm)}`).join();
}

async function compare(file: Evaluator, module: Evaluator, all: readonly Candidate[], rounds: number) {
  const calls = Math.max(1, Math.round(2_000 / all.length));
  const timings: { file: number; module: number }[] = [];
  const each = async (by: Evaluator): Promise<number> =>
    ((await elapsedMs(async () => {
      for (let call = 0; call < calls; call++) await best(all, by);
    })) * 1_000) / calls / all.length;
  try {
    if ((await best(all, file)) !== (await best(all, module))) throw new Error("the file and the module differ");
    for (let round = 0; round < rounds; round++) timings.push({ file: await each(file), module: await each(module) });
  } catch (error) {
    if (!(error instanceof WasmPolicyError)) throw error;
    return { fileUs: null, moduleUs: null, ratio: null, ratioRange: null, ended: error.fault };
  }
  const ratios = timings.map((of) => of.module / of.file);
  return { fileUs: median(timings.map((of) => of.file)), moduleUs: median(timings.map((of) => of.module)), ratio: median(ratios), ratioRange: range(ratios, 1), ended: null };
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
