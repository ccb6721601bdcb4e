/**
 * Failover: the one placer that holds the mover's lock looks at every workload that was placed here, and moves those that
 * have to go (trouble.ts) to the next best node. Everything that it must know of a workload is in the job's meta, so
 * that whoever takes over goes on where the last one was.
 */
import { SERVICE_NAME } from "../../beacon/documents.js";
import type { Logger } from "pino";
import { Backoff, type BackoffLimits } from "../backoff.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { HealthLog } from "../health-log.js";
import { type JobMeta, JOB_PREFIX, type Placed, readMeta } from "../job-meta.js";
import type { JobAllocation, NomadJob, NomadJobs } from "../nomad-jobs.js";
import { PlacementError } from "../placement-error.js";
import type { MoveCause, MoverObserver } from "../workload-moves.js";
import type { WorkWitness } from "../work-outcomes.js";
import type { Choosing } from "./choosing.js";
import type { Budget } from "./failures.js";
import type { JobLocks } from "./job-locks.js";
import { movedJob } from "./job.js";
import { MoveOutcomes } from "./move-outcomes.js";
import type { MoverLock } from "./mover-lock.js";
import { readReference } from "./reference.js";
import { registerFrom } from "./registering.js";
import type { PolicyGain } from "./policy-gains.js";
import type { PolicyWatch } from "./policy-watch.js";
import { type Silence, Silences } from "./silence.js";
import { isUnderWay, type NodeLife, type Verdict, verdictOf } from "./trouble.js";

export interface MoverDeps {
  nomad: NomadJobs;
  consul: Pick<ConsulApi, "serviceInstances" | "nodes">;
  choosing: Choosing;
  policies: PolicyWatch;
  locks: JobLocks;
  lock: MoverLock;
  clock: Clock;
  /** In [0, 1). */
  random: () => number;
  logger: Logger;
  health: HealthLog;
  observer: MoverObserver;
  witness: WorkWitness;
  /** How long Nomad's servers hear nothing of a client before they call it down. */
  nomadDownAfterMs: number;
}

const LOOK_MS = 1_000;
/** For one look at everything, and for one move. */
const BUDGET_MS = 30_000;
const MAX_CANDIDATES = 10;
/** Between two searches for a node where the last one found none. */
const SEARCH: BackoffLimits = { initialMs: 2_000, maxMs: 30_000 };

/** By Nomad node ID. */
type SilenceOf = (nodeId: string) => Promise<Silence | undefined>;

interface Trouble {
  job: NomadJob;
  meta: JobMeta & { placed: Placed };
  verdict: Verdict;
}

export class Mover {
  /** By job: for whom no node was found, and until when nobody looks again. */
  readonly #homeless = new Map<string, { backoff: Backoff; untilMs: number; hasTo: boolean }>();
  /** By job: from where to where a rebalance would move it. */
  readonly #planned = new Map<string, string>();
  #stuck: ReadonlySet<string> = new Set();

  readonly #outcomes: MoveOutcomes;
  readonly #silences: Silences;

  constructor(private readonly deps: MoverDeps) {
    this.#outcomes = new MoveOutcomes(deps.witness);
    this.#silences = new Silences(deps);
  }

  /** Ends when the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { lock, health, observer } = this.deps;
    while (!signal.aborted) {
      let nextMs = LOOK_MS;
      try {
        const isMover = await lock.hold(signal);
        observer.moving(isMover);
        if (isMover) nextMs = Math.min(LOOK_MS, await this.#look(signal));
        else this.#forget();
        health.up();
      } catch (error) {
        if (!signal.aborted) health.down(error);
      }
      await this.#silences.change(nextMs, signal);
    }
    this.deps.policies.forget();
    await lock.leave(AbortSignal.timeout(2_000)).catch(() => {}); // else its session ends by itself
  }

  /** When, from now, something that waits may move, in milliseconds. */
  async #look(signal: AbortSignal): Promise<number> {
    const budget = this.#budget(signal);
    const { nomad, policies, clock } = this.deps;
    const [jobs, allocations, lives] = await Promise.all([nomad.jobs(JOB_PREFIX, budget), nomad.allocationsOf(JOB_PREFIX, budget), this.#lives(budget)]);
    const byJob = new Map<string, JobAllocation[]>();
    for (const allocation of allocations) byJob.set(allocation.jobId, [...(byJob.get(allocation.jobId) ?? []), allocation]);
    const placed = jobs.flatMap(({ id, meta, stopped }) => (stopped ? [] : [{ id, meta: readMeta(meta) }]));
    const isNewWord = await policies.look(placed.flatMap(({ meta }) => (meta?.placed === undefined ? [] : [meta.policy])), budget.signal);
    const found: Trouble[] = [];
    const silenceOf = once((nodeId) => this.#silences.of(nodeId, budget));
    for (const job of jobs) {
      const trouble = await this.#judge(job, byJob.get(job.id) ?? [], lives, silenceOf);
      if (trouble !== undefined) found.push(trouble);
    }
    const nowMs = clock.nowMs();
    const underWay = placed.filter(({ id, meta }) => meta?.placed !== undefined && isUnderWay({ placed: meta.placed, allocations: newestVersion(byJob.get(id) ?? []), nowMs })).length;
    const toMove = found.flatMap(({ job: { id }, meta, verdict }) => (verdict.state === "move" ? [{ id, hasTo: verdict.cause !== "rebalance", parallel: this.#parallel(meta, verdict.cause) }] : []));
    const moving = new Set(toMove.map(({ id }) => id));
    for (const id of this.#homeless.keys()) if (!moving.has(id)) this.#homeless.delete(id);
    for (const id of this.#planned.keys()) if (!byJob.has(id)) this.#planned.delete(id);
    const nodes = new Map(placed.map(({ id, meta }) => [id, meta?.placed?.node]));
    this.#outcomes.look((id) => ({ node: nodes.get(id), allocations: newestVersion(byJob.get(id) ?? []) }), clock.nowMs());
    const ready = toMove.filter(({ id }) => !this.#isWaiting(id));
    // What runs is moved one at a time, each time on a new word of the policies, and after what does not run.
    const running = isNewWord ? ready.filter(({ parallel }) => underWay < parallel && parallel < Infinity).slice(0, 1) : [];
    for (const { id, hasTo } of [...ready.filter(({ parallel }) => parallel === Infinity), ...running]) {
      if (await this.#move(id, lives, signal)) this.#homeless.delete(id);
      else this.#waitFor(id, hasTo);
    }
    this.#report(found.filter(({ verdict }) => verdict.state === "stuck"));
    return Math.min(Infinity, ...found.map(({ verdict }) => (verdict.state === "wait" ? (verdict.forMs ?? Infinity) : Infinity)));
  }

  async #judge(job: NomadJob, all: readonly JobAllocation[], lives: (node: string) => NodeLife, silenceOf: SilenceOf): Promise<Trouble | undefined> {
    const meta = readMeta(job.meta);
    if (job.stopped || meta?.placed === undefined) return undefined;
    const { placed, source } = meta;
    const allocations = newestVersion(all);
    const consul = lives(placed.node);
    const nodeId = allocations[0]?.nodeId;
    const silence = consul === "alive" || nodeId === undefined ? undefined : await silenceOf(nodeId);
    const { policies, clock } = this.deps;
    const standing = policies.of(meta.policy);
    const breaksPolicy = standing?.breaks.of(placed.node) !== undefined;
    const better = standing?.gains.of(placed.node);
    if (better?.rebalance.dryRun === true) this.#plan(job.id, placed.node, better);
    const betterAfterMs = better?.rebalance.dryRun === false ? better.rebalance.cooldownMs : undefined;
    const verdict = verdictOf({ placed, allowOverlap: source.allowOverlap, allocations, consul, breaksPolicy, betterAfterMs, silence, nowMs: clock.nowMs() });
    return verdict.state === "fine" ? undefined : { job, meta: { ...meta, placed }, verdict };
  }

  /**
   * Reads the job again, whole: what was listed may be a moment old, and of another version than its allocations.
   * False: no node was found for it.
   */
  async #move(jobId: string, lives: (node: string) => NodeLife, signal: AbortSignal): Promise<boolean> {
    const { nomad, choosing, policies, lock, locks, clock, logger, observer } = this.deps;
    const budget = this.#budget(signal);
    const standing = await nomad.document(jobId, budget);
    if (standing === null) return true;
    const { allocations } = await nomad.jobAllocations(jobId, budget);
    const trouble = await this.#judge(standing.job, allocations.filter(({ jobVersion }) => jobVersion === standing.version), lives, (nodeId) => this.#silences.of(nodeId, budget));
    if (trouble?.verdict.state !== "move") return true;
    const { meta: { placed, source, policy }, verdict } = trouble;
    const tried = [...(verdict.movesBefore === 0 ? [] : placed.tried), placed.node];
    const now = policies.of(policy);
    const breaks = verdict.cause === "policy" ? now?.breaks : undefined;
    const better = verdict.cause === "rebalance" ? now?.gains.of(placed.node)?.to : undefined;
    const mayTake = (name: string): boolean => !tried.includes(name) && (breaks?.isSteady(name) ?? true) && (better === undefined || better === name);
    const move = { from: placed.node, cause: verdict.cause, broken: [], ...breaks?.of(placed.node) };
    let failedEverywhere = false;
    try {
      const chosen = await choosing.choose({ job: jobId, move }, readReference(source.imageRef).driver, policy, MAX_CANDIDATES, budget);
      failedEverywhere = verdict.cause === "failed" && chosen.candidates.every(({ node: { name } }) => tried.includes(name));
      for (const { node, problem } of chosen.candidates.filter(({ node: { name } }) => mayTake(name))) {
        const why = await problem(budget);
        if (why !== undefined) {
          logger.info({ job: jobId, node: node.name, reason: why }, "node passed over");
          continue;
        }
        const to = { node: node.name, atMs: clock.nowMs(), moves: verdict.movesBefore + 1, tried, stopAfterMs: placed.stopAfterMs, killMs: placed.killMs };
        const job = movedJob(standing.document, { ...trouble.meta, source: { ...source, decisionId: chosen.decisionId, generation: source.generation + 1 }, placed: to }, verdict.apart);
        if ((await nomad.plan(job, budget)).problems.length > 0) continue;
        await chosen.keep(budget);
        if (!(await lock.stillHeld(signal))) return true;
        if ((await registerFrom(standing.job.modifyIndex, job, { nomad, locks }, budget)) === undefined) return true; // the next look has what became of it
        observer.moved(verdict.cause);
        this.#outcomes.moved(jobId, verdict.cause, placed.node, node.name);
        logger.warn({ job: jobId, ...move, to: node.name, generation: source.generation + 1, decision: chosen.decisionId }, "workload moved");
        return true;
      }
    } catch (error) {
      if (!(error instanceof PlacementError)) throw error;
      logger.debug({ err: error, job: jobId }, "nobody may be chosen");
    }
    if (this.#homeless.has(jobId)) return false;
    if (failedEverywhere) logger.error({ job: jobId, nodes: tried }, "workload is stuck: it failed on every node that may run it");
    else if (verdict.cause !== "rebalance") logger.warn({ job: jobId, from: placed.node, cause: verdict.cause }, "no node to move a workload to");
    return false;
  }

  /** How many moves may be under way when this one begins; Infinity: it does not run, and waits for nobody. */
  #parallel({ policy, placed }: JobMeta & { placed: Placed }, cause: MoveCause): number {
    if (cause === "rebalance") return this.deps.policies.of(policy)?.gains.of(placed.node)?.rebalance.maxParallel ?? 0;
    return cause === "policy" ? 1 : Infinity;
  }

  /** A dry run is told once, and again when it would go elsewhere. */
  #plan(jobId: string, from: string, { to, gain, savingUsd, heldForMs }: PolicyGain): void {
    const plan = `${from} ${to}`;
    if (this.#planned.get(jobId) === plan) return;
    this.#planned.set(jobId, plan);
    this.deps.logger.info({ job: jobId, from, to, gain, savingUsd, heldForMs }, "dry run: a rebalance would move this workload");
  }

  /** No node was found for it a moment ago. */
  #isWaiting(jobId: string): boolean {
    const homeless = this.#homeless.get(jobId);
    return homeless !== undefined && this.deps.clock.monoMs() < homeless.untilMs;
  }

  /** `hasTo`: it may not stay where it is, which is what is counted. */
  #waitFor(jobId: string, hasTo: boolean): void {
    const { random, clock } = this.deps;
    const { backoff } = this.#homeless.get(jobId) ?? { backoff: new Backoff(random, SEARCH) };
    this.#homeless.set(jobId, { backoff, untilMs: clock.monoMs() + backoff.next(), hasTo });
  }

  /** By Consul's word about the node, not about its sidecar. */
  async #lives(budget: Budget): Promise<(node: string) => NodeLife> {
    const { consul } = this.deps;
    const [{ value: instances }, { value: nodes }] = await Promise.all([consul.serviceInstances(SERVICE_NAME, budget), consul.nodes(budget)]);
    const serf = new Map(instances.map(({ node, checks }) => [node, checks.find(({ id }) => id === "serfHealth")?.status]));
    const known = new Set(nodes.map(({ node }) => node));
    return (node) => (!known.has(node) ? "left" : serf.get(node) === "critical" ? "failed" : "alive");
  }

  #forget(): void {
    this.deps.policies.forget();
    this.#silences.forget();
    this.#homeless.clear();
    this.#planned.clear();
    this.#outcomes.forget();
    this.#stuck = new Set();
    this.deps.observer.stuck(undefined);
  }

  #report(stuck: readonly Trouble[]): void {
    const { logger, observer } = this.deps;
    observer.stuck({ "moved-too-often": stuck.length, "no-node": [...this.#homeless.values()].filter(({ hasTo }) => hasTo).length });
    for (const { job, meta, verdict } of stuck) {
      if (!this.#stuck.has(job.id)) logger.error({ job: job.id, node: meta.placed.node, moves: meta.placed.moves, ...verdict }, "workload is stuck: it was moved too often, and is left where it is");
    }
    this.#stuck = new Set(stuck.map(({ job }) => job.id));
  }

  #budget(signal: AbortSignal): Budget {
    const endMs = this.deps.clock.monoMs() + BUDGET_MS;
    return { signal: AbortSignal.any([signal, AbortSignal.timeout(BUDGET_MS)]), leftMs: () => Math.max(0, endMs - this.deps.clock.monoMs()) };
  }
}

/** For one look: a node with many workloads is asked for once. */
function once(ask: SilenceOf): SilenceOf {
  const asked = new Map<string, Promise<Silence | undefined>>();
  return (nodeId) => {
    const answer = asked.get(nodeId) ?? ask(nodeId);
    asked.set(nodeId, answer);
    return answer;
  };
}

function newestVersion(allocations: readonly JobAllocation[]): JobAllocation[] {
  const version = Math.max(...allocations.map(({ jobVersion }) => jobVersion));
  return allocations.filter(({ jobVersion }) => jobVersion === version);
}
