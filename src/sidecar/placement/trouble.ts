/**
 * Whether a placed workload has to go elsewhere, and since when that is safe. Pure, of what Nomad and Consul say:
 *
 *   its copy ended, by its client's word (failed, drained)  → now
 *   its node left Consul, Nomad still has it                → now: Nomad ends the old copy first
 *   its node is dead: Consul calls its agent failed         → overlap allowed: now
 *     exclusive: when Nomad does not hear the node either and the old client, if it lives, must have ended its copy
 *   it runs, and its node breaks its policy for too long    → now: Nomad ends the old copy first, but at most every 5 minutes
 *   it runs, and another node is better for long enough     → the same, and after the policy's cool-down
 *
 * A quiet sidecar is not a dead node, and a dead Nomad agent is not a dead workload: neither moves anything.
 */
import type { Placed } from "../job-meta.js";
import type { JobAllocation } from "../nomad-jobs.js";
import type { MoveCause } from "../workload-moves.js";
import type { Silence } from "./silence.js";

/** `left`: it is no longer in Consul's catalog, as after an orderly leave. */
export type NodeLife = "alive" | "failed" | "left";

export interface Situation {
  placed: Placed;
  allowOverlap: boolean;
  /** Of the job's present version, newest first. */
  allocations: readonly JobAllocation[];
  consul: NodeLife;
  /** Its node has broken its policy for longer than the policy's grace (policy-breaks.ts). */
  breaksPolicy: boolean;
  /** Another node has been better for as long as the policy asks (policy-gains.ts); then the policy's cool-down. */
  betterAfterMs: number | undefined;
  /** Of its node's client; undefined: Nomad hears it. */
  silence: Silence | undefined;
  nowMs: number;
}

/**
 * `stuck`: moved so often that only a person can know what is wrong. `apart`: Nomad must not wait for the old copy.
 * `forMs`: after so long it may move, where that is known.
 */
export type Verdict = { state: "fine" } | { state: "stuck"; cause: MoveCause } | { state: "wait"; cause: MoveCause; forMs?: number } | { state: "move"; cause: MoveCause; apart: boolean; movesBefore: number };

/** Moves one after another, none of which lasted: a copy that did makes them count anew. */
export const MAX_MOVES = 5;
export const LASTING_MS = 300_000;
/** Whoever registered it is still looking at it, or Nomad's scheduler is at work. */
const SETTLE_MS = 3_000;
const UNPLACED_MS = 10_000;
/** After that it is no reason for others to stay where they are. */
const UNDER_WAY_MS = 60_000;
const FIRST_BACKOFF_MS = 1_000;
/** A heartbeat or an allocation under way, and how coarsely a client looks at its clock. */
const SLACK_MS = 2_000;

export function verdictOf(situation: Situation): Verdict {
  const { placed, allowOverlap, silence, nowMs } = situation;
  const cause = causeOf(situation);
  if (cause === undefined) return { state: "fine" };
  if (cause === "policy" || cause === "rebalance") {
    const restMs = Math.max(placed.moves > 0 ? LASTING_MS : SETTLE_MS, cause === "rebalance" ? (situation.betterAfterMs ?? 0) : 0);
    return nowMs - placed.atMs < restMs ? { state: "wait", cause } : { state: "move", cause, apart: allowOverlap, movesBefore: 0 };
  }
  const movesBefore = lastedMs(situation) >= LASTING_MS ? 0 : placed.moves;
  if (movesBefore >= MAX_MOVES) return { state: "stuck", cause };
  const move = { state: "move", cause, movesBefore } as const;
  if (nowMs - placed.atMs < (movesBefore === 0 ? SETTLE_MS : FIRST_BACKOFF_MS * 2 ** movesBefore)) return { state: "wait", cause };
  if (cause === "failed" || cause === "stopped" || cause === "unplaced" || allowOverlap) return { ...move, apart: allowOverlap };
  if (silence === undefined) return cause === "node-left" ? { ...move, apart: false } : { state: "wait", cause };
  const leftMs = endedAfterMs(placed, silence) - silence.forMs;
  return leftMs > 0 ? { state: "wait", cause, forMs: leftMs } : { ...move, apart: true };
}

/** A client waits out the shorter times of others first, and then begins ours again (as of Nomad 1.10.5): less than twice ours. */
function endedAfterMs({ stopAfterMs, killMs }: Placed, { shortestStopMs = Infinity }: Silence): number {
  return stopAfterMs * (shortestStopMs < stopAfterMs ? 2 : 1) + killMs + SLACK_MS;
}

/** How long the newest copy has been there, or was. */
function lastedMs({ allocations: [newest], nowMs }: Situation): number {
  if (newest === undefined) return 0;
  const isOver = newest.clientStatus !== "running" && newest.clientStatus !== "pending";
  return (isOver ? newest.modifiedAtMs : nowMs) - newest.createdAtMs;
}

/** Moved a moment ago, and the new copy does not run yet. */
export function isUnderWay({ placed, allocations: [newest], nowMs }: Pick<Situation, "placed" | "allocations" | "nowMs">): boolean {
  return placed.moves > 0 && nowMs - placed.atMs < UNDER_WAY_MS && newest?.clientStatus !== "running";
}

function causeOf({ placed, allocations, consul, breaksPolicy, betterAfterMs, nowMs }: Situation): MoveCause | undefined {
  const [newest] = allocations;
  if (newest === undefined) return nowMs - placed.atMs > UNPLACED_MS ? "unplaced" : undefined;
  if (newest.clientStatus === "failed") return "failed";
  if (newest.clientStatus === "complete") return "stopped";
  if (consul === "alive" && newest.clientStatus !== "running") return undefined;
  if (consul === "alive") return breaksPolicy ? "policy" : betterAfterMs === undefined ? undefined : "rebalance";
  return consul === "left" ? "node-left" : "node-failed";
}
