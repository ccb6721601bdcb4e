/** Spawn, Stop and Logs as api/ calls them: who may, within which deadline, and which job an ID means. */
import type { NodeView } from "../../beacon/node-view.js";
import { isBelieved } from "../../beacon/node-view.js";
import { JOB_PREFIX, readMeta } from "../job-meta.js";
import type { JobAllocation, NomadJob, NomadJobs } from "../nomad-jobs.js";
import { PlacementError } from "../placement-error.js";
import type { SpawnOrder } from "../spawn-order.js";
import type { LogPart, LogQuery, Spawned, WorkloadCall, WorkloadNode, Workloads } from "../workloads.js";
import { type Budget, placementErrorOf, within } from "./failures.js";
import { followLogs, readLogs } from "./log-reading.js";
import type { JobLocks } from "./job-locks.js";
import type { NomadNodes } from "./nomad-nodes.js";
import type { Placer } from "./placer.js";

export interface WorkloadCallsDeps {
  nomad: NomadJobs;
  nomadNodes: NomadNodes;
  locks: JobLocks;
  /** Undefined where this sidecar does not place. */
  placer: Placer | undefined;
  nodes: (signal: AbortSignal) => Promise<NodeView[]>;
  nowMs: () => number;
}

/** What a sidecar that places shows among its node's capabilities. */
export const PLACER_CAPABILITY = "placer";
/** Of an allocation's ID, as Nomad's own command line shows it. */
const ALLOCATION_PREFIX = /^[0-9a-f]{8}(?:-[0-9a-f-]{0,27})?$/;

export class WorkloadCalls implements Workloads {
  constructor(private readonly deps: WorkloadCallsDeps) {}

  spawn(order: SpawnOrder, call: WorkloadCall): Promise<Spawned> {
    return this.#within(call, async (budget) => (await this.#placer(budget)).spawn(order, budget));
  }

  stop(id: string, call: WorkloadCall): Promise<WorkloadNode> {
    const { nomad, locks } = this.deps;
    return this.#within(call, async (budget) => {
      await this.#placer(budget);
      const { job, allocation } = await this.#find(id, budget);
      if (!job.stopped) await locks.hold(job.id, budget, (at) => nomad.stop(job.id, at));
      return allocation === undefined ? { id: "", address: "", name: "" } : this.#node(allocation, budget);
    });
  }

  logs(query: LogQuery, call: WorkloadCall): Promise<LogPart[]> {
    return this.#within(call, async (budget) => readLogs(this.deps.nomad, await this.#allocation(query.id, budget), query, budget));
  }

  async *follow(query: LogQuery, call: WorkloadCall): AsyncGenerator<LogPart> {
    const allocation = await this.#within(call, (budget) => this.#allocation(query.id, budget));
    const token = call.nomadToken === undefined ? {} : { token: call.nomadToken };
    try {
      yield* followLogs(this.deps.nomad, allocation, query, { signal: call.signal ?? new AbortController().signal, ...token });
    } catch (error) {
      throw placementErrorOf(error);
    }
  }

  #within<T>(call: WorkloadCall, act: (budget: Budget) => Promise<T>): Promise<T> {
    return within(call, this.deps.nowMs, act);
  }

  async #placer({ signal }: Budget): Promise<Placer> {
    if (this.deps.placer !== undefined) return this.deps.placer;
    const placers = (await this.deps.nodes(signal)).filter(
      ({ trust, alive, beacon }) => isBelieved(trust) && alive === true && beacon?.record.capabilities.includes(PLACER_CAPABILITY) === true,
    );
    const who = placers.length === 0 ? "no node has one that does" : `these do: ${placers.map(({ name, address }) => `${name} (${address})`).join(", ")}`;
    throw new PlacementError("not-a-placer", `this sidecar runs without --placer and changes nothing in Nomad; ${who}`);
  }

  async #allocation(id: string, budget: Budget): Promise<JobAllocation> {
    const { allocation, job } = await this.#find(id, budget);
    if (allocation === undefined) throw new PlacementError("not-found", `workload ${job.id} has no allocation yet`);
    return allocation;
  }

  /** By job, or by the beginning of an allocation's ID. The allocation is the named one, or the job's newest. */
  async #find(id: string, budget: Budget): Promise<{ job: NomadJob; allocation?: JobAllocation }> {
    const { nomad } = this.deps;
    const named = ALLOCATION_PREFIX.test(id) ? await nomad.allocationsByPrefix(id.slice(0, 8), budget) : [];
    const matching = named.filter((allocation) => allocation.id.startsWith(id));
    if (matching.length > 1) throw new PlacementError("not-found", `${id} begins the IDs of ${String(matching.length)} allocations; write more of it`);
    const [only] = matching;
    const jobId = only?.jobId ?? id;
    const job = jobId.startsWith(JOB_PREFIX) ? await nomad.job(jobId, budget) : null;
    if (job === null || readMeta(job.meta) === undefined) throw new PlacementError("not-found", `no workload ${JSON.stringify(id)} was placed here`);
    const { allocations } = await nomad.jobAllocations(job.id, budget);
    const allocation = only === undefined ? allocations[0] : allocations.find(({ id: each }) => each === only.id);
    return { job, ...(allocation === undefined ? {} : { allocation: { ...allocation, tasks: inOrder(allocation.tasks, job.tasks) } }) };
  }

  async #node({ nodeId, nodeName }: JobAllocation, budget: Budget): Promise<WorkloadNode> {
    const name = (await this.deps.nomadNodes.nameOf(nodeId, budget)) ?? nodeName;
    const view = (await this.deps.nodes(budget.signal)).find((node) => node.name === name);
    return { id: view?.id ?? "", address: view?.address ?? "", name };
  }
}

/** Nomad answers the tasks of an allocation in any order, and another one each time. */
function inOrder(tasks: JobAllocation["tasks"], names: readonly string[]): JobAllocation["tasks"] {
  return new Map([...tasks].sort(([a], [b]) => names.indexOf(a) - names.indexOf(b)));
}
