/** Logs of a workload's tasks: the end of them, or followed until the workload ends. A slow reader slows the source. */
import type { JobAllocation, NomadJobs } from "../nomad-jobs.js";
import { PlacementError } from "../placement-error.js";
import type { LogPart, LogQuery } from "../workloads.js";
import type { Budget } from "./failures.js";
import { merged } from "./merge.js";

/** Of each stream, where logs are read and not followed. */
const LAST_BYTES = 256 * 1024;
/** What a follower sees of the past. */
const FOLLOW_FROM_BYTES = 8 * 1024;
/** After the workload ended: what its log collector still has to write. */
const DRAIN_MS = 1_000;
const POLL_MS = 30_000;
const ENDED: ReadonlySet<string> = new Set(["complete", "failed", "lost"]);

export async function readLogs(nomad: NomadJobs, allocation: JobAllocation, query: LogQuery, budget: Budget): Promise<LogPart[]> {
  const task = taskOf(allocation, query.task);
  const parts: LogPart[] = [];
  for (const stream of streamsOf(query)) {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of await nomad.logs({ allocationId: allocation.id, task, stream, follow: false, lastBytes: LAST_BYTES }, budget)) {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes >= LAST_BYTES) break;
    }
    parts.push({ allocationId: allocation.id, task, stream, bytes: Buffer.concat(chunks) });
  }
  return parts;
}

export async function* followLogs(nomad: NomadJobs, allocation: JobAllocation, query: LogQuery, options: { signal: AbortSignal; token?: string }): AsyncGenerator<LogPart> {
  const task = taskOf(allocation, query.task);
  const done = new AbortController();
  const signal = AbortSignal.any([options.signal, done.signal]);
  const ended = untilEnded(nomad, allocation, { ...options, signal }).finally(() => done.abort());
  try {
    const sources = streamsOf(query).map(async function* (stream): AsyncGenerator<LogPart> {
      const request = { allocationId: allocation.id, task, stream, follow: true, lastBytes: FOLLOW_FROM_BYTES };
      for await (const bytes of await nomad.logs(request, { ...options, signal })) yield { allocationId: allocation.id, task, stream, bytes };
    });
    yield* merged(sources);
  } catch (error) {
    if (!done.signal.aborted) throw error; // we ended it ourselves
  } finally {
    done.abort();
    await ended;
  }
}

/** Nomad's own stream goes on after the task has ended. Never rejects. */
async function untilEnded(nomad: NomadJobs, { jobId, id }: JobAllocation, options: { signal: AbortSignal; token?: string }): Promise<void> {
  let index: string | undefined;
  try {
    for (;;) {
      const read = await nomad.jobAllocations(jobId, { ...options, waitMs: POLL_MS, ...(index === undefined ? {} : { index }) });
      index = read.index;
      const now = read.allocations.find((allocation) => allocation.id === id);
      if (now === undefined || ENDED.has(now.clientStatus)) break;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, DRAIN_MS);
      options.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  } catch {
    // The logs' own stream says what is wrong.
  }
}

function streamsOf({ stream }: LogQuery): ("stdout" | "stderr")[] {
  return stream === undefined ? ["stdout", "stderr"] : [stream];
}

function taskOf({ tasks, id }: JobAllocation, wanted: string | undefined): string {
  const names = [...tasks.keys()];
  const task = wanted === undefined ? names[0] : names.find((name) => name === wanted);
  if (task !== undefined) return task;
  throw new PlacementError("not-found", names.length === 0 ? `allocation ${id} has no task yet` : `allocation ${id} has no task ${wanted ?? ""}; it has ${names.join(", ")}`);
}
