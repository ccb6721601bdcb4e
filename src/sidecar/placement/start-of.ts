/** Whether an allocation has started: running, on its way, or never going to run there. Pure, of what Nomad says. */
import type { JobAllocation, TaskState } from "../nomad-jobs.js";

export type Start = { state: "running" | "pending" } | { state: "failed"; reason: string };

/** Before a task has run once, each of these says that it will not here; Nomad may try again for a while. */
const FATAL: ReadonlySet<string> = new Set(["Driver Failure", "Setup Failure", "Failed Validation", "Failed Artifact Download"]);

export function startOf(allocation: JobAllocation): Start {
  const tasks = [...allocation.tasks];
  for (const [name, task] of tasks) {
    const fatal = task.events.some(({ type }) => type === "Started") ? undefined : task.events.findLast(({ type }) => FATAL.has(type));
    if (fatal !== undefined) return { state: "failed", reason: `task ${name}: ${fatal.type}: ${fatal.message}` };
  }
  if (allocation.clientStatus === "running") return { state: "running" };
  if (allocation.clientStatus === "pending" && allocation.desiredStatus === "run") return { state: "pending" };
  return { state: "failed", reason: `the allocation is ${allocation.clientStatus}${lastWords(tasks)}` };
}

function lastWords(tasks: readonly [string, TaskState][]): string {
  const said = tasks.flatMap(([name, { events }]) => events.filter(({ type }) => type === "Terminated").map(({ message }) => `task ${name}: ${message}`));
  const last = said.at(-1);
  return last === undefined ? "" : ` (${last})`;
}
