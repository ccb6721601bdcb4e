/**
 * The ancestor's file as a Policy: its fixed scales, its sum of weighted terms, its zero that means no limit. What it
 * never said stays as ours: unknown by the mode, verified records only in enforce, and prefer_* breaks ties, which the
 * ancestor left to chance.
 */
import type { Handling, Mode, Policy, Preference, Subject, TermName } from "./policy.js";
import { DEFAULT_GRACE_MS, SUBJECTS } from "./policy.js";
import type { FileV1 } from "./policy-fields.js";

/** 200 ms, $1, a queue of 100: the ancestor's fixed scales. */
const SCALES = { latency: { best: 0, worst: 200_000 }, price: { best: 0, worst: 1_000_000 }, reputation: { best: 1_000_000, worst: 0 }, queue: { best: 0, worst: 100 } };
const WITHOUT_BEACON_PPM = 500_000;

export function policyOfV1(file: FileV1): Policy {
  const { rules = {}, scoring = {} } = file;
  const prefer: [Preference, boolean | undefined][] = [
    ["low_latency", rules.prefer_low_latency], ["low_price", rules.prefer_low_price], ["high_reputation", rules.prefer_high_reputation],
  ];
  return {
    version: 1,
    name: file.name,
    description: file.description ?? "",
    tags: [],
    mode: file.mode,
    verifiedOnly: file.mode === "enforce",
    federated: false,
    disputed: "unknown",
    reputation: "observed",
    unknown: handlingByMode(file.mode),
    requiredCapabilities: rules.required_capabilities ?? [],
    limits: {
      ...limit("latencyUs", rules.max_latency_ms, 1_000),
      ...limit("jitterUs", rules.max_jitter_ms, 1_000),
      ...limit("lossPpm", rules.max_packet_loss, 10_000),
      ...limit("queueDepth", rules.max_queue_depth, 1),
      ...limit("priceMicroUsdPerGb", rules.max_price_per_gb, 1_000_000),
      ...limit("minReputationPpm", rules.min_reputation_score, 1_000_000),
    },
    links: [],
    scoring: {
      weights: weightsOr25({ latency: scoring.latency_weight, price: scoring.price_weight, reputation: scoring.reputation_weight, queue: scoring.queue_weight }),
      ranges: SCALES,
      mean: false,
      ...(file.mode === "permissive" ? { withoutBeaconPpm: WITHOUT_BEACON_PPM } : {}),
      prefer: prefer.flatMap(([name, wanted]) => (wanted === true ? [name] : [])),
      decimals: 6,
    },
    graceMs: DEFAULT_GRACE_MS,
  };
}

export function handlingByMode(mode: Mode): Record<Subject, Handling> {
  const handling = mode === "enforce" ? "reject" : "neutral";
  return Object.fromEntries(SUBJECTS.map((subject) => [subject, handling])) as Record<Subject, Handling>;
}

/** Both versions: no weight at all is 0.25 each for the ancestor's four. */
export function weightsOr25(given: Partial<Record<TermName, number | undefined>>): Record<TermName, number> {
  const weights = { latency: 0, price: 0, reputation: 0, queue: 0, jitter: 0, loss: 0, link: 0, spread: 0 };
  for (const [term, weight] of Object.entries(given)) weights[term as TermName] = weight ?? 0;
  return Object.values(weights).some((weight) => weight > 0) ? weights : { ...weights, latency: 0.25, price: 0.25, reputation: 0.25, queue: 0.25 };
}

function limit<K extends string>(key: K, value: number | undefined, factor: number): { [P in K]?: number } {
  return value === undefined || value === 0 ? {} : ({ [key]: Math.min(Number.MAX_SAFE_INTEGER, Math.round(value * factor)) } as { [P in K]: number });
}
