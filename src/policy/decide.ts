/**
 * A decision: who may run a workload, in which order, and why. Candidates satisfy the cluster's policy and the spawn's;
 * the score is the spawn's where there is one. Pure: what it reads comes in, and it places nothing.
 *
 *   const decision = await decide({ nodes, policies: { cluster, spawn }, nowMs, request: { job: "web" } });
 *   const [first] = requireMatch(decision).best(1);
 */
import type { NodeView } from "../beacon/node-view.js";
import { worseOf } from "./apply-rules.js";
import type { Candidate } from "./candidate.js";
import { CandidateTable } from "./candidate-table.js";
import { candidatesOf, type ServiceNodes } from "./candidates.js";
import { type Evaluation, type Evaluator, type Reasons, STATUS, STATUS_NAMES, type Status } from "./evaluator.js";
import { needsOf } from "./needs.js";
import type { Range } from "./policy.js";
import { Ranking } from "./ranking.js";

export type Role = "cluster" | "spawn";
/** What a replay brings: the scales of each policy's terms. */
export type Scales = Partial<Record<Role, ReadonlyMap<string, Range>>>;
/** At least one. Both: a spawn's policy never loosens the cluster's. */
export type Policies = Partial<Record<Role, Evaluator>>;

export interface PlacementRequest {
  /** The workload's Nomad job ID: what anti_affinity and spread count where they name no jobs. */
  job?: string;
  /** Why it has to go from where it is: kept in the record, and nothing is decided by it. */
  move?: MoveReason;
}

export interface MoveReason {
  /** Consul node. */
  from: string;
  /** One of MOVE_CAUSES (sidecar/workload-moves.ts), or of a later version's. */
  cause: string;
  /** Rules that the node broke, in words. */
  broken: readonly string[];
  /** For how long they had been seen broken; absent where none is. */
  brokenForMs?: number;
}

export interface DecideInput {
  nodes: readonly NodeView[];
  policies: Policies;
  /** Unix milliseconds. */
  nowMs: number;
  request?: PlacementRequest;
  /** Where the services of link rules run. */
  services?: ServiceNodes;
  /** Who is in question, by name; of the others only links and workloads count. Default: all. */
  among?: ReadonlySet<string>;
}

export interface Ranked {
  /** From 1; undefined for the excluded. */
  place: number | undefined;
  candidate: Candidate;
  status: Status;
  scorePpm: number;
}

export interface Applied {
  role: Role;
  evaluator: Evaluator;
  evaluation: Evaluation;
}

export class Decision {
  #indexOf: Map<string, number> | undefined;

  constructor(
    readonly table: CandidateTable,
    readonly applied: readonly Applied[],
    readonly ranking: Ranking,
    readonly request: PlacementRequest,
    readonly nowMs: number,
  ) {}

  /** The best that may be chosen; fewer where there are fewer. Violators of a permissive policy come last. */
  best(count: number): Ranked[] {
    return this.ranking.best(count).map((index, i) => this.#ranked(index, i + 1));
  }

  /** Everybody: in order, then the excluded. */
  all(): Ranked[] {
    return [...this.ranking.order()].map((index, i) => this.#ranked(index, this.ranking.statuses[index] === STATUS.excluded ? undefined : i + 1));
  }

  /** Why, by each policy, the node stands where it does. Undefined for a node that was no candidate. */
  reasonsFor(node: string): { role: Role; reasons: Reasons }[] | undefined {
    this.#indexOf ??= new Map(this.table.candidates.map((candidate, index) => [candidate.node, index]));
    const index = this.#indexOf.get(node);
    return index === undefined ? undefined : this.reasonsAt(index);
  }

  /** From 1; undefined for the excluded, and for a node that was no candidate. */
  placeOf(node: string): number | undefined {
    return this.all().find(({ candidate }) => candidate.node === node)?.place;
  }

  reasonsAt(index: number): { role: Role; reasons: Reasons }[] {
    return this.applied.map(({ role, evaluation }) => ({ role, reasons: evaluation.reasonsFor(index) }));
  }

  /** How many candidates have this status. */
  count(status: Status): number {
    return this.ranking.statuses.reduce((count, code) => count + Number(code === STATUS[status]), 0);
  }

  #ranked(index: number, place: number | undefined): Ranked {
    const status = STATUS_NAMES[this.ranking.statuses[index] as 0 | 1 | 2];
    return { place, candidate: this.table.candidates[index] as Candidate, status, scorePpm: this.ranking.scorePpm(index) };
  }
}

export async function decide({ nodes, policies, nowMs, request = {}, services, among }: DecideInput): Promise<Decision> {
  const asked = (["cluster", "spawn"] as const).flatMap((role) => policies[role]?.policy ?? []);
  const needs = needsOf(asked, request.job);
  const all = candidatesOf(nodes, needs, { nowMs, ...(services === undefined ? {} : { services }) });
  const candidates = among === undefined ? all : all.filter(({ node }) => among.has(node));
  return decideAmong(new CandidateTable(candidates, needs), policies, request, nowMs);
}

/** Over candidates that are there already: a replay, or a table that is used more than once. */
export async function decideAmong(table: CandidateTable, policies: Policies, request: PlacementRequest, nowMs: number, scales: Scales = {}): Promise<Decision> {
  const applied: Applied[] = [];
  let statuses: Uint8Array = new Uint8Array(table.size);
  for (const role of ["cluster", "spawn"] as const) {
    const evaluator = policies[role];
    if (evaluator === undefined) continue;
    const evaluation = await evaluator.evaluate({ table, job: request.job, prior: statuses, ...(scales[role] === undefined ? {} : { scales: scales[role] }) });
    statuses = worseOf(statuses, evaluation.statuses);
    applied.push({ role, evaluator, evaluation });
  }
  const scored = applied.at(-1);
  if (scored === undefined) throw new RangeError("a decision needs a policy");
  return new Decision(table, applied, new Ranking(table, statuses, scored.evaluation), request, nowMs);
}
