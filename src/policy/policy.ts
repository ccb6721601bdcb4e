/**
 * A policy as the evaluation uses it: one shape for both versions of the file, every default filled in, integers in the
 * units of the signed records. Not the file (policy-fields.ts) and not its meaning for a node (rules.ts, scoring.ts).
 */
import type { PREFERENCES } from "./policy-fields.js";

export type Mode = "enforce" | "permissive";
/** What an unknown value means: the rule is broken and the term scores 0, or the rule passes and the term scores 0.5. */
export type Handling = "reject" | "neutral";
export type Preference = (typeof PREFERENCES)[number];

export const SUBJECTS = ["latency", "jitter", "packet_loss", "queue_depth", "price", "reputation", "capabilities", "link", "workloads"] as const;
/** What a value is of: unknown is handled by subject. */
export type Subject = (typeof SUBJECTS)[number];

export const TERMS = ["latency", "price", "reputation", "queue", "jitter", "loss", "link", "spread"] as const;
export type TermName = (typeof TERMS)[number];

/** Values that score 1 and 0, in the units of the facts (µs, micro-dollars, ppm, counts). */
export interface Range {
  best: number;
  worst: number;
}

/** The nearest of these nodes counts; `service` is looked up by who asks (candidates.ts). */
export type LinkTarget = { node: string } | { service: string };

export interface LinkRule {
  target: LinkTarget;
  maxLatencyUs?: number;
  maxLossPpm?: number;
}

/** Copies of these jobs in the candidate's group. Empty: of the workload's own job. */
export interface Copies {
  by: "node" | "datacenter" | "link";
  /** With `link`: nodes nearer than this to one another are one group. */
  nearerThanUs?: number;
  jobs: readonly string[];
}

export interface Scoring {
  weights: Readonly<Record<TermName, number>>;
  /** A term without one is scaled over the candidates. */
  ranges: Readonly<Partial<Record<TermName, Range>>>;
  /** The ancestor adds the weighted terms up; ours is their weighted mean. */
  mean: boolean;
  /** The ancestor's score of a node without a beacon, in millionths. */
  withoutBeaconPpm?: number;
  prefer: readonly Preference[];
  decimals: number;
}

export interface Rebalance {
  minGainPpm: number;
  holdMs: number;
  cooldownMs: number;
  maxParallel: number;
  /** For `expectedGb` of traffic. */
  minSaving?: { microUsd: number; expectedGb: number };
  dryRun: boolean;
}

/** Where a policy does not say its own. */
export const DEFAULT_GRACE_MS = 60_000;

export interface Policy {
  version: 1 | 2;
  name: string;
  description: string;
  tags: readonly string[];
  mode: Mode;
  verifiedOnly: boolean;
  /** Whether nodes of other clusters count like verified ones; else they are never chosen. */
  federated: boolean;
  disputed: "reject" | "unknown" | "accept";
  reputation: "observed" | "declared";
  unknown: Readonly<Record<Subject, Handling>>;
  requiredCapabilities: readonly string[];
  limits: {
    latencyUs?: number;
    jitterUs?: number;
    lossPpm?: number;
    queueDepth?: number;
    priceMicroUsdPerGb?: number;
    minReputationPpm?: number;
    disputedLinks?: number;
  };
  budget?: { expectedGb: number; maxMicroUsd: number };
  links: readonly LinkRule[];
  antiAffinity?: Copies;
  spread?: Copies & { max?: number };
  scoring: Scoring;
  /** How long a running workload may be on a node that breaks a rule of it. */
  graceMs: number;
  rebalance?: Rebalance;
}
