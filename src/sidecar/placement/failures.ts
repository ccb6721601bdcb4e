/** Errors of Nomad and Consul as a caller of Spawn, Stop and Logs sees them, and the deadline that all their calls share. */
import { ConsulError } from "../consul-api.js";
import { NomadError } from "../nomad-api.js";
import { PlacementError } from "../placement-error.js";
import type { WorkloadCall } from "../workloads.js";

/** What is left for the answer to travel. */
const ANSWER_MS = 300;
const DEFAULT_BUDGET_MS = 60_000;

/** Options of every call to Nomad on behalf of a caller. */
export interface Budget {
  signal: AbortSignal;
  token?: string;
  leftMs: () => number;
}

/** Runs `act` within the call's deadline; whatever fails becomes a PlacementError. */
export async function within<T>(call: WorkloadCall, nowMs: () => number, act: (budget: Budget) => Promise<T>): Promise<T> {
  const endMs = (call.deadlineMs ?? nowMs() + DEFAULT_BUDGET_MS) - ANSWER_MS;
  const leftMs = () => Math.max(0, endMs - nowMs());
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), leftMs());
  const signal = call.signal === undefined ? over.signal : AbortSignal.any([call.signal, over.signal]);
  try {
    return await act({ signal, leftMs, ...(call.nomadToken === undefined ? {} : { token: call.nomadToken }) });
  } catch (error) {
    throw placementErrorOf(error, over.signal.aborted);
  } finally {
    clearTimeout(timer);
  }
}

export function placementErrorOf(error: unknown, isLate = false): unknown {
  if (error instanceof PlacementError || !(error instanceof NomadError || error instanceof ConsulError)) return error;
  const text = isLate ? `no answer before the call's deadline: ${error.message}` : error.message;
  return new PlacementError(codeOf(error), text, { cause: error });
}

function codeOf(error: NomadError | ConsulError): PlacementError["code"] {
  if (error.code === "permission") return "denied";
  if (error.code === "rejected") return "refused";
  return error.code === "not-found" ? "not-found" : "unavailable";
}
