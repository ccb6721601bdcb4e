/**
 * A decision as it is signed and kept: enough to work it out again offline, to the same bytes. Policies by their bytes, and
 * of each candidate the facts, the hashes of the records that they are from, verdicts, terms, status and score. Not how it
 * is encoded (decision-codec.ts).
 */
import type { Candidate } from "./candidate.js";
import type { Decision, MoveReason, Role } from "./decide.js";
import { type RuleStatement, STATUS_NAMES, type Status, type TermStatement, type Verdict } from "./evaluator.js";
import type { Needs } from "./needs.js";
import type { Mode } from "./policy.js";

export interface RecordedPolicy {
  role: Role;
  name: string;
  mode: Mode;
  hash: string;
  /** Absent for a module. */
  file?: Uint8Array;
  rules: readonly RuleStatement[];
  terms: readonly TermStatement[];
}

/** Addresses and node IDs stay out: nothing is decided by them. */
export type RecordedFacts = Omit<Candidate, "nodeId" | "address">;

export interface RecordedCandidate {
  facts: RecordedFacts;
  status: Status;
  scorePpm: number;
  /** For each rule of each policy. */
  verdicts: readonly Verdict[];
  /** For each term of each policy. */
  termScoresPpm: readonly number[];
  said: readonly string[];
}

/** A candidate behind the last one that fits. */
export interface BriefCandidate {
  /** Hex of the first 8 bytes of the key; zeros for a node without one. */
  beaconId: string;
  status: Status;
  /** Name of the first broken rule. */
  broken?: string;
}

export interface DecisionRecord {
  node: string;
  datacenter: string;
  decidedAtMs: number;
  job?: string;
  move?: MoveReason;
  policies: readonly RecordedPolicy[];
  needs: Needs;
  candidates: readonly RecordedCandidate[];
  counts: Readonly<Record<Status, number>>;
  /** Present where not all candidates fit. */
  rest?: { brief: readonly BriefCandidate[]; hash: string };
}

/** Who decided: the node whose key signs. */
export interface Decider {
  node: string;
  datacenter: string;
}

/** Complete, whatever its size: fitRecord() (decision-codec.ts) makes it fit. */
export function recordOf(decision: Decision, decider: Decider): DecisionRecord {
  const { table, applied, ranking, request } = decision;
  const order = [...ranking.order()];
  const shown = order[0] === undefined ? undefined : decision.reasonsAt(order[0]);
  return {
    ...decider,
    decidedAtMs: decision.nowMs,
    ...(request.job === undefined ? {} : { job: request.job }),
    ...(request.move === undefined ? {} : { move: request.move }),
    policies: applied.map(({ role, evaluator }, i) => ({
      role,
      name: evaluator.identity.name,
      mode: evaluator.identity.mode,
      hash: evaluator.identity.hash,
      ...(evaluator.file === undefined ? {} : { file: evaluator.file.bytes }),
      // Statements are the same for every candidate.
      rules: shown?.[i]?.reasons.rules.map(({ rule }) => rule) ?? [],
      terms: shown?.[i]?.reasons.terms.map(({ term }) => term) ?? [],
    })),
    needs: table.needs,
    candidates: order.map((index) => {
      const reasons = decision.reasonsAt(index).map((of) => of.reasons);
      const { nodeId: _, address: __, ...facts } = table.candidates[index] as Candidate;
      return {
        facts,
        status: STATUS_NAMES[ranking.statuses[index] as 0 | 1 | 2],
        scorePpm: ranking.scorePpm(index),
        verdicts: reasons.flatMap(({ rules }) => rules.map(({ verdict }) => verdict)),
        termScoresPpm: reasons.flatMap(({ terms }) => terms.map(({ score }) => Math.round(score * 1_000_000))),
        said: reasons.flatMap(({ said }) => said ?? []),
      };
    }),
    counts: { eligible: decision.count("eligible"), violating: decision.count("violating"), excluded: decision.count("excluded") },
  };
}

/** The candidate that was taken: the first, where it was not excluded. */
export function chosenOf({ candidates }: DecisionRecord): RecordedCandidate | undefined {
  const [first] = candidates;
  return first === undefined || first.status === "excluded" ? undefined : first;
}
