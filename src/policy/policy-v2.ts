/**
 * A file of version 2 as a Policy: defaults filled in, units of the signed records, and what one field demands of
 * another. A limit finer than those units (1 µs, 1 ppm, a millionth of a dollar) is rounded to them.
 */
import { type Copies, DEFAULT_GRACE_MS, type LinkRule, type Policy, type Range, type Rebalance, type Scoring, type TermName } from "./policy.js";
import type { FileV2 } from "./policy-fields.js";
import { handlingByMode, weightsOr25 } from "./policy-v1.js";
import type { Problem } from "./read-fields.js";

const US = 1_000;
const MICRO = 1_000_000;
const PPM_OF_PERCENT = 10_000;

export function policyOfV2(file: FileV2): Policy {
  const { rules = {} } = file;
  const { budget, spread } = rules;
  return {
    version: 2,
    name: file.name,
    description: file.description ?? "",
    tags: file.tags ?? [],
    mode: file.mode,
    verifiedOnly: file.verified_only ?? file.mode === "enforce",
    federated: file.federated === "use",
    disputed: file.disputed ?? "unknown",
    reputation: file.reputation ?? "observed",
    unknown: { ...handlingByMode(file.mode), ...file.unknown },
    requiredCapabilities: rules.required_capabilities ?? [],
    limits: {
      ...units("latencyUs", rules.max_latency_ms, US),
      ...units("jitterUs", rules.max_jitter_ms, US),
      ...units("lossPpm", rules.max_packet_loss, PPM_OF_PERCENT),
      ...units("queueDepth", rules.max_queue_depth, 1),
      ...units("priceMicroUsdPerGb", rules.max_price_per_gb, MICRO),
      ...units("minReputationPpm", rules.min_reputation_score, MICRO),
      ...units("disputedLinks", rules.max_disputed_links, 1),
    },
    ...(budget === undefined ? {} : { budget: { expectedGb: budget.expected_gb, maxMicroUsd: Math.round(budget.max_usd * MICRO) } }),
    links: (rules.links ?? []).map(linkRule),
    ...(rules.anti_affinity === undefined ? {} : { antiAffinity: { by: rules.anti_affinity.by ?? ("node" as const), jobs: rules.anti_affinity.jobs ?? [] } }),
    ...(spread === undefined ? {} : { spread: { ...copies(spread), ...units("max", spread.max, 1) } }),
    scoring: scoringOf(file.scoring ?? {}),
    graceMs: file.grace_s === undefined ? DEFAULT_GRACE_MS : Math.round(file.grace_s * 1_000),
    ...(file.rebalance === undefined ? {} : { rebalance: rebalanceOf(file.rebalance, budget?.expected_gb) }),
  };
}

/** What no table of single fields can say. */
export function contradictionsIn(file: FileV2): Problem[] {
  const problems: Problem[] = [];
  const { spread, links } = file.rules ?? {};
  if (spread !== undefined && (spread.by === "link") !== (spread.nearer_than_ms !== undefined)) {
    problems.push({ path: "rules.spread.nearer_than_ms", message: spread.by === "link" ? 'is missing; by "link" needs it' : 'goes with by "link" only' });
  }
  for (const [name, range] of Object.entries(file.scoring?.ranges ?? {})) {
    if (range?.best === range?.worst) problems.push({ path: `scoring.ranges.${name}`, message: "best and worst are the same; they must differ" });
  }
  const { link_weight: linkWeight = 0, spread_weight: spreadWeight = 0 } = file.scoring ?? {};
  if (linkWeight > 0 && (links ?? []).length === 0) problems.push({ path: "scoring.link_weight", message: "weighs nothing; rules.links must name at least one node or service" });
  if (spreadWeight > 0 && spread === undefined) problems.push({ path: "scoring.spread_weight", message: "weighs nothing; rules.spread must say what a group is" });
  for (const preference of file.scoring?.prefer ?? []) {
    if (preference === "near_link" && (links ?? []).length === 0) problems.push({ path: "scoring.prefer", message: "near_link needs rules.links" });
    if (preference === "few_copies" && spread === undefined) problems.push({ path: "scoring.prefer", message: "few_copies needs rules.spread" });
  }
  if (file.rebalance?.min_saving_usd !== undefined && file.rules?.budget === undefined) problems.push({ path: "rebalance.min_saving_usd", message: "needs rules.budget, which says for how much traffic" });
  return problems;
}

function linkRule({ node, service, max_latency_ms, max_packet_loss }: NonNullable<NonNullable<FileV2["rules"]>["links"]>[number]): LinkRule {
  return {
    target: node === undefined ? { service: service ?? "" } : { node },
    ...units("maxLatencyUs", max_latency_ms, US),
    ...units("maxLossPpm", max_packet_loss, PPM_OF_PERCENT),
  };
}

function copies({ by, nearer_than_ms, jobs = [] }: NonNullable<NonNullable<FileV2["rules"]>["spread"]>): Copies {
  return { by, jobs, ...units("nearerThanUs", nearer_than_ms, US) };
}

function scoringOf(scoring: NonNullable<FileV2["scoring"]>): Scoring {
  const given = scoring.ranges ?? {};
  const ranges: Partial<Record<TermName, Range>> = {
    ...range("latency", given.latency_ms, US),
    ...range("price", given.price_per_gb, MICRO),
    ...range("reputation", given.reputation, MICRO),
    ...range("queue", given.queue_depth, 1),
    ...range("jitter", given.jitter_ms, US),
    ...range("loss", given.packet_loss, PPM_OF_PERCENT),
    ...range("link", given.link_ms, US),
    ...range("spread", given.copies, 1),
  };
  const weights = weightsOr25({
    latency: scoring.latency_weight, price: scoring.price_weight, reputation: scoring.reputation_weight, queue: scoring.queue_weight,
    jitter: scoring.jitter_weight, loss: scoring.loss_weight, link: scoring.link_weight, spread: scoring.spread_weight,
  });
  return { weights, ranges, mean: true, prefer: scoring.prefer ?? [], decimals: scoring.decimals ?? 6 };
}

function rebalanceOf({ min_gain, hold_s = 300, cooldown_s = 3_600, max_parallel = 1, min_saving_usd, dry_run = true }: NonNullable<FileV2["rebalance"]>, expectedGb: number | undefined): Rebalance {
  const saving = min_saving_usd === undefined || expectedGb === undefined ? {} : { minSaving: { microUsd: Math.round(min_saving_usd * MICRO), expectedGb } };
  return { minGainPpm: Math.round(min_gain * MICRO), holdMs: Math.round(hold_s * 1_000), cooldownMs: Math.round(cooldown_s * 1_000), maxParallel: max_parallel, ...saving, dryRun: dry_run };
}

function range<K extends TermName>(term: K, given: Range | undefined, factor: number): Partial<Record<TermName, Range>> {
  return given === undefined ? {} : { [term]: { best: rounded(given.best * factor), worst: rounded(given.worst * factor) } };
}

function units<K extends string>(key: K, value: number | undefined, factor: number): { [P in K]?: number } {
  return value === undefined ? {} : ({ [key]: rounded(value * factor) } as { [P in K]: number });
}

/** A limit beyond what a record can say is no limit: the largest exact integer. */
function rounded(value: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.round(value));
}
