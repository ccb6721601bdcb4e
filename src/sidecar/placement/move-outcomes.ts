/**
 * Which moves say something of a node: work failed on it, and then lasted on another. A workload that lasts nowhere is
 * itself what is wrong, and is held against nobody. Of one mover's own moves, in memory.
 */
import type { JobAllocation } from "../nomad-jobs.js";
import type { MoveCause } from "../workload-moves.js";
import type { WorkWitness } from "../work-outcomes.js";
import { LASTING_MS } from "./trouble.js";

/** A copy that was stopped, or whose node left in order, says nothing against the node; a broken policy is measured elsewhere. */
const NODES_FAULT: ReadonlySet<MoveCause> = new Set(["failed", "unplaced", "node-failed"]);

export interface Standing {
  /** Where the job is placed now; undefined where it is no longer ours. */
  node: string | undefined;
  /** Of the job's present version, newest first. */
  allocations: readonly JobAllocation[];
}

export class MoveOutcomes {
  readonly #moves = new Map<string, { to: string; failedOn: readonly string[] }>();

  constructor(private readonly witness: WorkWitness) {}

  moved(job: string, cause: MoveCause, from: string, to: string): void {
    const before = this.#moves.get(job)?.failedOn ?? [];
    if (NODES_FAULT.has(cause)) this.#moves.set(job, { to, failedOn: [...before, from] });
    else this.#moves.delete(job);
  }

  look(standing: (job: string) => Standing | undefined, nowMs: number): void {
    for (const [job, { to, failedOn }] of this.#moves) {
      const now = standing(job);
      if (now?.node !== to) {
        this.#moves.delete(job); // it was stopped, or another mover has it
        continue;
      }
      const [newest] = now.allocations;
      if (newest?.clientStatus !== "running" || nowMs - newest.createdAtMs < LASTING_MS) continue;
      this.witness.ran(to, failedOn);
      this.#moves.delete(job);
    }
  }

  forget(): void {
    this.#moves.clear();
  }
}
