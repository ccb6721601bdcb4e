/**
 * Choosing the best ten of many nodes by a policy, with the whole reason for each of the ten, against a plain filter and
 * sort over the same objects. What the ancestor took was measured elsewhere, and stands beside it as a constant.
 */
import type { Candidate } from "../src/policy/candidate.js";
import { CandidateTable } from "../src/policy/candidate-table.js";
import { decideAmong } from "../src/policy/decide.js";
import { candidate, evaluator } from "../test/harness/candidates.js";
import { NOW_MS } from "../test/harness/records.js";
import { median, range, type Report, runBench } from "./report.js";

const SIZES = [100, 1_000, 10_000, 100_000];
/** Of the ancestor's selection, whose sort is O(n²), in microseconds (on a machine of the same kind; one run). */
const ANCESTOR_US: Readonly<Record<number, number>> = { 100: 36, 1_000: 1_560, 10_000: 106_000 };
const BEST = 10;
const MAX_LATENCY_US = 100_000;
const LIMIT_US = { all: MAX_LATENCY_US, half: MAX_LATENCY_US / 2, none: 0 } as const;
const [MAX_PRICE, MIN_REPUTATION, MAX_QUEUE, WORST_PRICE, WORST_QUEUE] = [1_000_000, 100_000, 10_000, 1_000_000, 10_000];

await runBench({ rounds: 15 }, measure);

async function measure({ rounds }: { rounds: number }): Promise<Report> {
  const rows: Report["rows"][number][] = [];
  for (const nodes of SIZES) {
    const candidates = manyCandidates(nodes);
    for (const pass of ["all", "half", "none"] as const) {
      const limitUs = LIMIT_US[pass];
      const policy = policyOf(limitUs);
      const kept = new CandidateTable(candidates);
      const ways = [() => best(new CandidateTable(candidates), policy), () => best(kept, policy), async () => plain(candidates, limitUs)] as const;
      const names = await Promise.all(ways.map((way) => way()));
      if (new Set(names.map((found) => found.join())).size !== 1) throw new Error(`the ways differ: ${JSON.stringify(names)}`);
      const timed = await inTurns(ways, rounds, Math.max(1, Math.round(100_000 / nodes)));
      const [freshUs, keptUs, plainUs] = timed.map(median) as [number, number, number];
      const ancestorUs = ANCESTOR_US[nodes] ?? null;
      rows.push({
        nodes, pass, freshUs, freshRange: range(timed[0] ?? [], 0), keptUs, plainUs, freshRatio: freshUs / plainUs, keptRatio: keptUs / plainUs,
        ancestorUs, timesFaster: ancestorUs === null ? null : ancestorUs / freshUs,
      });
    }
  }
  return {
    title: "The best ten of many nodes, by a policy",
    method:
      `Method: ${String(rounds)} rounds; in each, some calls of every way right after one another. Wall time of one call; figures are medians of the\n` +
      "rounds. Six rules (down, verified, latency, price, reputation, queue) and four weighted terms; all, half or none of the nodes are\n" +
      "within the latency. Fresh: from the candidates' facts on. Kept: the table's columns are there from a decision before. Both end with\n" +
      "the whole reasons of the ten. Plain: filter, score, sort, slice over the same objects, without reasons; all ways must find the same\n" +
      "ten. The ancestor's figures were measured elsewhere, on a machine of the same kind.",
    columns: [
      { key: "nodes", heading: "Nodes" },
      { key: "pass", heading: "Pass" },
      { key: "freshUs", heading: "Fresh µs" },
      { key: "freshRange", heading: "Min–max" },
      { key: "keptUs", heading: "Kept µs" },
      { key: "plainUs", heading: "Plain µs" },
      { key: "freshRatio", heading: "Fresh/plain", digits: 2 },
      { key: "keptRatio", heading: "Kept/plain", digits: 2 },
      { key: "ancestorUs", heading: "Ancestor µs" },
      { key: "timesFaster", heading: "Ancestor/fresh", digits: 1 },
    ],
    rows,
  };
}

function policyOf(limitUs: number) {
  return evaluator({
    rules: { max_latency_ms: limitUs / 1_000, max_price_per_gb: MAX_PRICE / 1e6, min_reputation_score: MIN_REPUTATION / 1e6, max_queue_depth: MAX_QUEUE },
    scoring: {
      latency_weight: 1, price_weight: 1, reputation_weight: 1, queue_weight: 1,
      ranges: {
        latency_ms: { best: 0, worst: MAX_LATENCY_US / 1_000 }, price_per_gb: { best: 0, worst: WORST_PRICE / 1e6 },
        reputation: { best: 1, worst: 0 }, queue_depth: { best: 0, worst: WORST_QUEUE },
      },
    },
  });
}

async function best(table: CandidateTable, spawn: ReturnType<typeof policyOf>): Promise<string[]> {
  const decision = await decideAmong(table, { spawn }, {}, NOW_MS);
  return decision.ranking.best(BEST).map((index) => {
    const [reasons] = decision.reasonsAt(index);
    if (reasons?.reasons.rules.length !== 6 || reasons.reasons.terms.length !== 4) throw new Error("a reason is missing");
    return table.candidates[index]?.node ?? "";
  });
}

/** What one writes without a library, in the order of the same rules and with the same formula. */
function plain(candidates: readonly Candidate[], limitUs: number): string[] {
  return candidates
    .filter(({ alive, trust, latencyUs, priceMicroUsdPerGb: price, reputationPpm, queueDepth }) =>
      alive !== false && trust === "pinned" && latencyUs !== undefined && latencyUs <= limitUs && price !== undefined && price <= MAX_PRICE &&
      reputationPpm !== undefined && reputationPpm >= MIN_REPUTATION && queueDepth !== undefined && queueDepth <= MAX_QUEUE)
    .map((c) => ({
      node: c.node, key: c.publicKey ?? "",
      score: Math.round(((1 - (c.latencyUs ?? 0) / MAX_LATENCY_US + 1 - (c.priceMicroUsdPerGb ?? 0) / WORST_PRICE + (c.reputationPpm ?? 0) / 1e6 + 1 - (c.queueDepth ?? 0) / WORST_QUEUE) / 4) * 1e6),
    }))
    .sort((a, b) => b.score - a.score || (a.key < b.key ? -1 : 1))
    .slice(0, BEST)
    .map(({ node }) => node);
}

/** Facts that differ from node to node, the same in every run: a linear congruential generator (Numerical Recipes). */
function manyCandidates(count: number): Candidate[] {
  let seed = 1;
  const upTo = (max: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return 1 + Math.floor((seed / 2 ** 32) * max);
  };
  return Array.from({ length: count }, (_, i) =>
    candidate(i, {
      publicKey: upTo(2 ** 31).toString(16).padStart(8, "0") + i.toString(16).padStart(56, "0"),
      latencyUs: upTo(MAX_LATENCY_US), priceMicroUsdPerGb: upTo(MAX_PRICE), reputationPpm: MIN_REPUTATION - 1 + upTo(900_000), queueDepth: upTo(MAX_QUEUE),
    }));
}

/** By way: microseconds of one call, round by round. */
async function inTurns(ways: readonly (() => Promise<unknown>)[], rounds: number, calls: number): Promise<number[][]> {
  const timings: number[][] = ways.map(() => []);
  for (let round = -1; round < rounds; round++) { // the one before the first compiles the code, and is not counted
    for (const [i, way] of ways.entries()) {
      const startedMs = performance.now();
      for (let call = 0; call < calls; call++) await way();
      if (round >= 0) timings[i]?.push(((performance.now() - startedMs) * 1_000) / calls);
    }
  }
  return timings;
}
