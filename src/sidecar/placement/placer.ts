/**
 * Spawn: from an order to a job that runs on the best node that can run it. The job's ID comes from the request's, and
 * Nomad's EnforceIndex lets one registration win, so that a request may be repeated, by anybody, at any moment.
 *
 *   order → job exists? ─yes→ started? ─yes→ answer
 *              │no                 │failed there: move it on
 *              ▼                   ▼
 *           choose → look again → plan → register → started? ─no→ next best
 */
import type { Logger } from "pino";
import { readMeta } from "../job-meta.js";
import type { JobAllocation, JobDocument, NomadJob, NomadJobs } from "../nomad-jobs.js";
import { invalid, PlacementError } from "../placement-error.js";
import { orderHash, type SpawnOrder } from "../spawn-order.js";
import type { WorkWitness } from "../work-outcomes.js";
import type { Spawned } from "../workloads.js";
import type { Choosing, Chosen } from "./choosing.js";
import type { Budget } from "./failures.js";
import type { JobLocks } from "./job-locks.js";
import { jobIdOf, jobOf, killMsOf, portLabel } from "./job.js";
import type { JsonObject } from "./job-template.js";
import type { NomadNodes } from "./nomad-nodes.js";
import { type Driver, readReference, type Reference } from "./reference.js";
import { registerFrom } from "./registering.js";
import { type Start, startOf } from "./start-of.js";

export interface PlacerDeps {
  nomad: NomadJobs;
  nomadNodes: NomadNodes;
  choosing: Choosing;
  locks: JobLocks;
  templates: ReadonlyMap<Driver, JsonObject>;
  /** Drivers that the settings allow. */
  allowed: readonly string[];
  stopOnClientAfterMs: number;
  nowMs: () => number;
  witness: WorkWitness;
  logger: Logger;
}

/** Nodes that are tried before a spawn fails. */
const MAX_ATTEMPTS = 5;
/** An allocation that has not started by then is answered as pending: it may be fetching an image. */
const START_WITHIN_MS = 30_000;
/** Nomad's scheduler answers in milliseconds; a plan that held a moment ago and makes no allocation holds no more. */
const ALLOCATED_WITHIN_MS = 5_000;
const POLL_MS = 2_000;

type Outcome = Start & { allocation?: JobAllocation };
interface Placing {
  order: SpawnOrder;
  reference: Reference;
  jobId: string;
  /** Where the job stands in Nomad: 0 where there is none. */
  index: number;
  generation: number;
  passedOver: { node: string; reason: string }[];
  /** Nodes that were given an allocation and did not run it. */
  failedOn: string[];
}

export class Placer {
  constructor(private readonly deps: PlacerDeps) {}

  async spawn(order: SpawnOrder, budget: Budget): Promise<Spawned> {
    const reference = readReference(order.imageRef);
    const { allowed, nomad } = this.deps;
    if (!allowed.includes(reference.driver)) throw invalid("image_ref", `the driver ${reference.driver} is not allowed here; --job-drivers allows ${allowed.join(", ")}`);
    const jobId = jobIdOf(order.requestId);
    const placing: Placing = { order, reference, jobId, index: 0, generation: 1, passedOver: [], failedOn: [] };
    const existing = order.dryRun ? null : await nomad.job(jobId, budget);
    return existing === null ? this.#place(placing, budget) : this.#goOn(existing, placing, budget);
  }

  /** The job is there: by an earlier call of the same request, or by one at the same time. */
  async #goOn(job: NomadJob, placing: Placing, budget: Budget): Promise<Spawned> {
    const { order, jobId } = placing;
    const meta = readMeta(job.meta);
    if (meta === undefined) throw new PlacementError("conflict", `Nomad has a job ${jobId} that is not ours`);
    if (meta.orderHash !== orderHash(order)) throw new PlacementError("conflict", `request_id ${order.requestId} was used for another request: its job is ${jobId}`);
    if (job.stopped) throw new PlacementError("conflict", `request_id ${order.requestId} was placed as ${jobId}, and that was stopped: send a new one`);
    const outcome = await this.#started(jobId, [], budget);
    if (outcome.state !== "failed") return this.#answer(placing, outcome, budget);
    const at = outcome.allocation === undefined ? undefined : await this.deps.nomadNodes.nameOf(outcome.allocation.nodeId, budget);
    const passedOver = at === undefined ? [] : [{ node: at, reason: outcome.reason }];
    return this.#place({ ...placing, index: job.modifyIndex, generation: meta.source.generation + 1, passedOver, failedOn: at === undefined ? [] : [at] }, budget);
  }

  async #place(placing: Placing, budget: Budget): Promise<Spawned> {
    const { order, reference, jobId, passedOver } = placing;
    const { nomad, choosing, logger, witness } = this.deps;
    const chosen = await choosing.choose({ job: jobId }, reference.driver, order.policy, MAX_ATTEMPTS + passedOver.length, budget);
    const before = new Set(passedOver.map(({ node }) => node));
    for (const { node, problem } of chosen.candidates.filter(({ node: { name } }) => !before.has(name))) {
      const pass = (reason: string): void => {
        passedOver.push({ node: node.name, reason });
        logger.info({ job: jobId, node: node.name, reason }, "node passed over");
      };
      const why = await problem(budget);
      if (why !== undefined) {
        pass(why);
        continue;
      }
      const job = this.#job(placing, chosen, node.name);
      const plan = await nomad.plan(job, budget);
      if (plan.problems.length > 0) {
        pass(`Nomad's plan: ${plan.problems.join(", ")}`);
        continue;
      }
      if (order.dryRun) return { id: jobId, requestId: order.requestId, url: "", node: node.name, status: "planned", decision: chosen.decision, plan: plan.answer, passedOver };
      const earlier = placing.index === 0 ? [] : (await nomad.jobAllocations(jobId, budget)).allocations.map(({ id }) => id);
      await chosen.keep(budget);
      const index = await registerFrom(placing.index, job, this.deps, budget);
      if (index === undefined) return this.#afterConflict(placing, budget);
      placing.index = index;
      logger.info({ job: jobId, node: node.name, decision: chosen.decisionId, generation: placing.generation }, "workload placed");
      const outcome = await this.#started(jobId, earlier, budget);
      if (outcome.state === "running") witness.ran(node.name, placing.failedOn);
      if (outcome.state !== "failed") return { ...(await this.#answer(placing, outcome, budget)), decision: chosen.decision };
      pass(outcome.reason);
      if (outcome.allocation !== undefined) placing.failedOn.push(node.name);
      placing.generation += 1;
    }
    return this.#nobody(placing, budget);
  }

  /** Somebody else registered it in between; what they made of it is the answer. */
  async #afterConflict(placing: Placing, budget: Budget): Promise<Spawned> {
    const job = await this.deps.nomad.job(placing.jobId, budget);
    if (job === null) throw new PlacementError("unavailable", `job ${placing.jobId} was registered and removed at the same time: send the request again`);
    return this.#goOn(job, { ...placing, passedOver: [], failedOn: [] }, budget);
  }

  async #nobody({ jobId, index, passedOver }: Placing, budget: Budget): Promise<never> {
    const { nomad, locks } = this.deps;
    if (index > 0) {
      await locks.hold(jobId, budget, async (at) => {
        if ((await nomad.job(jobId, at))?.modifyIndex === index) await nomad.stop(jobId, { ...at, purge: true });
      });
    }
    throw new PlacementError("nobody-runs-it", `no node runs it: ${passedOver.map(({ node, reason }) => `${node}: ${reason}`).join("; ")}`);
  }

  #job({ order, reference, generation }: Placing, { decisionId }: Chosen, node: string): JobDocument {
    const { templates, stopOnClientAfterMs, nowMs } = this.deps;
    const { requestId, imageRef, cores, memoryMb, ports, allowOverlap, policy } = order;
    const source = { requestId, decisionId, generation, imageRef, cores, memoryMb, ports, allowOverlap };
    const template = templates.get(reference.driver) as JsonObject;
    const placed = { node, atMs: nowMs(), moves: 0, tried: [], stopAfterMs: allowOverlap ? 0 : stopOnClientAfterMs, killMs: killMsOf(template) };
    const meta = { source, orderHash: orderHash(order), placed, ...(policy === undefined ? {} : { policy }) };
    return jobOf({ template, reference, order, meta, node, stopOnClientAfterMs });
  }

  /** What becomes of the newest allocation that is not one of `earlier`. */
  async #started(jobId: string, earlier: readonly string[], budget: Budget): Promise<Outcome> {
    const { nomad } = this.deps;
    const untilMs = Math.max(0, budget.leftMs() - START_WITHIN_MS);
    const noneUntilMs = Math.max(0, budget.leftMs() - ALLOCATED_WITHIN_MS);
    let index: string | undefined;
    for (;;) {
      const waitMs = Math.min(POLL_MS, Math.max(1, budget.leftMs() - untilMs));
      const { index: next, allocations } = await nomad.jobAllocations(jobId, { ...budget, waitMs, ...(index === undefined ? {} : { index }) });
      index = next;
      const allocation = allocations.find(({ id }) => !earlier.includes(id));
      const start: Start = allocation === undefined ? { state: "pending" } : startOf(allocation);
      if (allocation === undefined && budget.leftMs() <= noneUntilMs) return { state: "failed", reason: "Nomad made no allocation" };
      if (start.state !== "pending" || budget.leftMs() <= Math.max(untilMs, POLL_MS)) return { ...start, ...(allocation === undefined ? {} : { allocation }) };
    }
  }

  async #answer({ order, jobId, passedOver }: Placing, { state, allocation }: Outcome, budget: Budget): Promise<Spawned> {
    const base = { id: jobId, requestId: order.requestId, passedOver, status: state === "running" ? "running" : "pending" } as const;
    if (allocation === undefined) return { ...base, url: "", node: "" };
    const [node, url] = await Promise.all([this.deps.nomadNodes.nameOf(allocation.nodeId, budget), this.#url(order, allocation.id, budget)]);
    return { ...base, url, node: node ?? allocation.nodeName, allocationId: allocation.id };
  }

  async #url({ ports, dynamicPorts }: SpawnOrder, allocationId: string, budget: Budget): Promise<string> {
    const first = ports[0]?.workload ?? dynamicPorts[0];
    if (first === undefined) return "";
    const found = (await this.deps.nomad.ports(allocationId, budget)).find(({ label }) => label === portLabel(first));
    if (found === undefined) return "";
    const host = found.address.includes(":") ? `[${found.address}]` : found.address;
    return `${first === 443 ? "https" : "http"}://${host}:${String(found.port)}`;
  }
}
