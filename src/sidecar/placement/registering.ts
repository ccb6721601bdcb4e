/** A job written only from where it stood, under its lock. */
import { NomadError } from "../nomad-api.js";
import type { JobDocument, NomadJobs } from "../nomad-jobs.js";
import type { Budget } from "./failures.js";
import type { JobLocks } from "./job-locks.js";

/** `expected` is 0 where there is to be none yet. The new index; undefined where somebody else was first. */
export function registerFrom(expected: number, job: JobDocument, { nomad, locks }: { nomad: NomadJobs; locks: JobLocks }, budget: Budget): Promise<number | undefined> {
  return locks.hold(job.ID, budget, async (at) => {
    const standing = (await nomad.job(job.ID, at))?.modifyIndex ?? 0;
    if (standing !== expected) return undefined;
    try {
      return await nomad.register(job, expected, at);
    } catch (error) {
      if (error instanceof NomadError && error.code === "conflict") return undefined;
      throw error;
    }
  });
}
