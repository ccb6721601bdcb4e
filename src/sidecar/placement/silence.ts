/**
 * For how long, at least, the clock has run by which a client that Nomad no longer hears ends its exclusive copies
 * (`stop_on_client_after`). The client starts it anew at each heartbeat, and at each allocation with such a time that it is
 * given (Nomad 1.10.5, client/heartbeatstop.go), which may be later. What Nomad's servers heard last they do not say; they
 * call a node down so long after it at least, and their own clock has when that was and when each allocation was made.
 */
import type { Clock } from "../clock.js";
import { NomadError } from "../nomad-api.js";
import type { NomadJobs, StopsOnClient } from "../nomad-jobs.js";
import type { Budget } from "./failures.js";

export interface Silence {
  forMs: number;
  /** The shortest of these times among all allocations that the client was given, the ended included; undefined: none is known. */
  shortestStopMs: number | undefined;
}

export interface SilencesDeps {
  nomad: Pick<NomadJobs, "node" | "stopsOnClient">;
  clock: Clock;
  /** How long Nomad's servers hear nothing of a client before they call it down. */
  nomadDownAfterMs: number;
}

/** `disconnected` is `down` on a node with work of somebody's that may come back (`lost_after`). */
const UNHEARD: ReadonlySet<string> = new Set(["down", "disconnected"]);

/** Waited for at once: with more of them Nomad's word on the rest is seen at the next look. */
const MAX_AWAITED = 16;

export class Silences {
  /** By Nomad node ID: when, on the monotonic clock, it was first seen in this status, and how long the clock had run then. */
  readonly #unheard = new Map<string, { changedAtMs: number; sinceMs: number; beforeMs: number; shortestStopMs: number | undefined }>();

  /** By Nomad node ID: those that Nomad still hears, at which index it said so. */
  readonly #heard = new Map<string, string>();

  constructor(private readonly deps: SilencesDeps) {}

  /** Undefined: Nomad hears it. Rejects with NomadError. */
  async of(nodeId: string, budget: Budget): Promise<Silence | undefined> {
    const { nomad, clock, nomadDownAfterMs } = this.deps;
    const { status, statusChangedAtMs, index } = await nomad.node(nodeId, budget);
    if (!UNHEARD.has(status)) {
      this.#unheard.delete(nodeId);
      this.#heard.set(nodeId, index);
      return undefined;
    }
    this.#heard.delete(nodeId);
    let known = this.#unheard.get(nodeId);
    // Another change of status than the one that is known: it may have been heard in between.
    if (known?.changedAtMs !== statusChangedAtMs) {
      const sinceMs = clock.monoMs();
      const { newestAtMs = -Infinity, shortestStopMs } = await this.#stops(nodeId, statusChangedAtMs, budget);
      known = { changedAtMs: statusChangedAtMs, sinceMs, beforeMs: Math.min(nomadDownAfterMs, statusChangedAtMs - newestAtMs), shortestStopMs };
      this.#unheard.set(nodeId, known);
    }
    return { forMs: known.beforeMs + clock.monoMs() - known.sinceMs, shortestStopMs: known.shortestStopMs };
  }

  /** Ends when Nomad has another word on a node that was asked for since the last call and was heard, or after `ms`. Never rejects. */
  async change(ms: number, signal: AbortSignal): Promise<void> {
    const { nomad, clock } = this.deps;
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    const awaited = [...this.#heard].slice(0, MAX_AWAITED);
    this.#heard.clear();
    const pause = clock.sleep(ms, until);
    const changes = awaited.map(([nodeId, index]) => nomad.node(nodeId, { signal: until, index, waitMs: Math.ceil(ms) }).then(() => {}, () => pause));
    await Promise.race([pause, ...changes]);
    over.abort();
  }

  /** Of a node with more allocations than are read the worst is believed. */
  async #stops(nodeId: string, statusChangedAtMs: number, budget: Budget): Promise<StopsOnClient> {
    try {
      return await this.deps.nomad.stopsOnClient(nodeId, budget);
    } catch (error) {
      if (error instanceof NomadError && error.code === "too-large") return { newestAtMs: statusChangedAtMs, shortestStopMs: 0 };
      throw error;
    }
  }

  forget(): void {
    this.#unheard.clear();
    this.#heard.clear();
  }
}
