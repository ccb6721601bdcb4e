/**
 * What judges a batch of candidates by one policy. A JSON policy is one (json-evaluator.ts); a WASM policy is another.
 * Verdicts and scores come for the whole batch; reasons only for the candidates that somebody asks about.
 */
import type { CandidateTable } from "./candidate-table.js";
import type { Handling, Mode, Policy, Range } from "./policy.js";

/** Better is smaller: a ranking orders by it first, and two policies combine by the larger. */
export const STATUS = { eligible: 0, violating: 1, excluded: 2 } as const;
export type Status = keyof typeof STATUS;
export const STATUS_NAMES = ["eligible", "violating", "excluded"] as const satisfies readonly Status[];

/** `unknown-*`: the value is not known, and the policy says what that means. */
export const VERDICTS = ["pass", "fail", "unknown-passes", "unknown-fails"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What a value is: wording.ts scales it for people. `score` is in millionths. */
export const UNITS = ["us", "ppm", "microusd", "microusd-per-gb", "count", "yes-no", "score"] as const;
export type Unit = (typeof UNITS)[number];

/** A rule as it was applied: the same for every candidate. */
export interface RuleStatement {
  /** As the file names it: `max_latency_ms`, `links[0].max_latency_ms`. */
  name: string;
  unit: Unit;
  /** Whether the value may be at most or must be at least the limit. Inclusive. */
  sense: "max" | "min";
  limit: number;
  unknown: Handling;
}

export interface TermStatement {
  name: string;
  unit: Unit;
  weight: number;
  /** The values that score 1 and 0; absent where no candidate has a known one. */
  best?: number;
  worst?: number;
  unknown: Handling;
}

export interface RuleResult {
  rule: RuleStatement;
  /** Undefined: unknown. */
  value: number | undefined;
  verdict: Verdict;
  /** For people, where the number does not say it: the capabilities that are missing. */
  note?: string;
}

export interface TermResult {
  term: TermStatement;
  value: number | undefined;
  /** 0 to 1, before the weight. */
  score: number;
}

/** Why one candidate stands where it does. */
export interface Reasons {
  rules: readonly RuleResult[];
  terms: readonly TermResult[];
  /** What a program said in its own words. */
  said?: readonly string[];
}

/** By column: of two candidates with equal scores the one with the smaller (or larger) value first, unknown last. */
export interface TieBreak {
  name: string;
  values: Float64Array;
  sense: "min" | "max";
}

export interface Evaluation {
  /** STATUS codes, in the order of the table. */
  statuses: Uint8Array;
  /** Whole millionths; worked out at the first call, over what `prior` and the statuses leave. */
  scoresPpm(): Float64Array;
  tieBreaks: readonly TieBreak[];
  /** Scores are compared after rounding to so many decimals. */
  decimals: number;
  /** How many candidates each rule turned away, by its name. */
  violations: ReadonlyMap<string, number>;
  reasonsFor(index: number): Reasons;
}

export interface PolicyIdentity {
  name: string;
  mode: Mode;
  /** Of the file or module, lower-case hex SHA-256. */
  hash: string;
}

export interface Batch {
  table: CandidateTable;
  /** The workload's own job; undefined where there is none yet. */
  job: string | undefined;
  /** What another policy has decided already: scales are made over the candidates that are left. */
  prior: Uint8Array;
  /** Scales by term, where a replay brings them; otherwise they are made over the candidates. */
  scales?: ReadonlyMap<string, Range>;
}

export interface Evaluator {
  readonly identity: PolicyIdentity;
  /** What it asks of the cluster beyond each node's record stands there; undefined: nothing. */
  readonly policy: Policy | undefined;
  /** What decision records carry, so that they can be replayed; undefined: they have its hash only. */
  readonly file: { bytes: Uint8Array } | undefined;
  /** Statuses are this policy's own; `prior` only says who is still in question. */
  evaluate(batch: Batch): Evaluation | Promise<Evaluation>;
  /** Ends what it holds (a module its worker); whoever made it calls this. */
  close?(): Promise<void>;
}
