/**
 * One hand at a job at a time. Nomad compares EnforceIndex before it writes and not as it writes: of two registrations in
 * the same moment both pass, and the second replaces what the first has started (seen). So whoever changes a job holds a
 * Consul lock of its own for the moment between reading where it stands and writing. A holder that dies loses it with
 * its session, and cannot still be writing then: what it does under the lock ends well within the session's time.
 */
import { randomUUID } from "node:crypto";
import { placementPrefix } from "../../beacon/documents.js";
import type { Clock } from "../clock.js";
import type { ConsulSessions } from "../consul-sessions.js";
import type { Budget } from "./failures.js";

/** Consul's least. */
const SESSION_MS = 10_000;
const WITHIN_MS = 6_000;
const AGAIN_MS = 100;
const LEAVE_MS = 2_000;

export class JobLocks {
  constructor(
    private readonly consul: ConsulSessions,
    private readonly clock: Clock,
    private readonly datacenter: () => string,
  ) {}

  /** Rejects with ConsulError, and with what `act` rejects with. */
  async hold<T>(jobId: string, budget: Budget, act: (budget: Budget) => Promise<T>): Promise<T> {
    const key = `${placementPrefix(this.datacenter())}jobs/${jobId}`;
    const session = await this.consul.createSession({ name: `ibrl ${jobId} ${randomUUID()}`, ttlMs: SESSION_MS, lockDelayMs: 0 }, budget);
    try {
      while (!(await this.consul.acquireLock(key, session, "", budget))) {
        await this.clock.sleep(AGAIN_MS, budget.signal);
        await this.consul.renewSession(session, budget); // no Raft write
      }
      return await act({ ...budget, signal: AbortSignal.any([budget.signal, AbortSignal.timeout(WITHIN_MS)]) });
    } finally {
      await this.consul.destroySession(session, { timeoutMs: LEAVE_MS }).catch(() => {}); // else it ends by itself
    }
  }
}
