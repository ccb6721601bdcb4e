/**
 * Which of the placers moves workloads: who holds one Consul lock, with a session of its own node. It ends with the node
 * (Serf, some 7 s), with the sidecar (10 to 20 s after its last renewal), or at once where that stops in order; 1 s later
 * the next one has it. Who holds it asks again before it acts: a process that was stopped for a while may have lost it.
 */
import { placementPrefix } from "../../beacon/documents.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { ConsulSessions } from "../consul-sessions.js";

/** Consul's least. */
const SESSION_MS = 10_000;
const LOCK_DELAY_MS = 1_000;
const RENEW_MS = 3_000;

export interface MoverLockDeps {
  consul: ConsulSessions & Pick<ConsulApi, "kvGet">;
  clock: Clock;
  /** This node; undefined before it has joined a cluster. */
  self: () => { node: string; datacenter: string } | undefined;
}

export class MoverLock {
  #session: string | undefined;
  #held = false;
  #renewedAtMs = -Infinity;

  constructor(private readonly deps: MoverLockDeps) {}

  /** True: this node moves, for some seconds to come. Rejects with ConsulError. */
  async hold(signal: AbortSignal): Promise<boolean> {
    const { consul, clock, self } = this.deps;
    const who = self();
    if (who === undefined) return false;
    if (this.#session === undefined || clock.monoMs() - this.#renewedAtMs > RENEW_MS) await this.#renew(signal);
    if (this.#held || this.#session === undefined) return this.#held;
    const key = `${placementPrefix(who.datacenter)}mover`;
    // Asking for a lock is a Raft write, looking whether it is taken is none.
    if ((await consul.kvGet(key, { signal })).value !== null) return false;
    this.#held = await consul.acquireLock(key, this.#session, JSON.stringify({ node: who.node }), { signal });
    return this.#held;
  }

  /** Just before something is done. */
  async stillHeld(signal: AbortSignal): Promise<boolean> {
    await this.#renew(signal);
    return this.#held;
  }

  async leave(signal: AbortSignal): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#held = false;
    if (session !== undefined) await this.deps.consul.destroySession(session, { signal });
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { consul, clock } = this.deps;
    const nowMs = clock.monoMs();
    if (this.#session !== undefined && (await consul.renewSession(this.#session, { signal }))) {
      this.#renewedAtMs = nowMs;
      return;
    }
    this.#held = false;
    this.#session = await consul.createSession({ name: "ibrl mover", ttlMs: SESSION_MS, lockDelayMs: LOCK_DELAY_MS }, { signal });
    this.#renewedAtMs = nowMs;
  }
}
