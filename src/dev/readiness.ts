/** Waiting for something to become true, with the last reason why it was not. */
import { setTimeout as sleep } from "node:timers/promises";
import { DevError } from "./dev-error.js";
import type { ManagedProcess } from "./managed-process.js";

export interface WaitOptions {
  timeoutMs: number;
  everyMs?: number;
  signal?: AbortSignal | undefined;
  /** Waiting ends as soon as this process does. */
  process?: ManagedProcess;
}

/**
 * Calls `attempt` until it returns something other than undefined. What it throws counts as "not yet".
 * Rejects with `not-ready`, with `process-exited` and the last log lines, or with the signal's reason.
 */
export async function waitFor<T>(
  what: string,
  attempt: (signal: AbortSignal) => Promise<T | undefined> | T | undefined,
  { timeoutMs, everyMs = 200, signal, process }: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let reason = "";
  for (;;) {
    signal?.throwIfAborted();
    if (process && !process.running) {
      const { code, signal: by } = await process.exited;
      const ended = by === null ? `with code ${code}` : `by ${by}`;
      throw new DevError("process-exited", `${process.spec.name} ended ${ended}. Its last lines:\n${process.tail()}`, { code, by });
    }
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) {
      const log = process ? `\nLast lines of ${process.spec.name}:\n${process.tail()}` : "";
      throw new DevError("not-ready", `${what}: not within ${timeoutMs / 1000} s${reason && ` (${reason})`}${log}`, { timeoutMs });
    }
    const attemptSignal = AbortSignal.timeout(Math.ceil(Math.min(leftMs, 10_000)));
    try {
      const found = await attempt(signal ? AbortSignal.any([signal, attemptSignal]) : attemptSignal);
      if (found !== undefined) return found;
      reason = "";
    } catch (error) {
      reason = describe(error);
    }
    await sleep(everyMs, undefined, signal ? { signal } : {});
  }
}

/** fetch hides the reason (ECONNREFUSED) in the cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
