/** POST /spawn, /stop and /logs in the ancestor's JSON, for callers that the guards let through. */
import type { WorkloadCall, Workloads } from "../workloads.js";
import { ancestorJson } from "./ancestor-json.js";
import type { Caller } from "./caller.js";
import { type Answer, errorAnswer, jsonAnswer } from "./http-answer.js";
import { idOf, isPlacementError, logQueryOf, logsMessage, nodeMessage, orderOf, PLACEMENT_STATUS, spawnedMessage } from "./workload-messages.js";

/** A change that the guards let through: POST, JSON, of no other origin, by somebody known. */
export interface Change {
  caller: Caller;
  body: Buffer;
  query: URLSearchParams;
}

export function spawn(workloads: Workloads, change: Change, signal: AbortSignal): Promise<Answer> {
  return answered(async () => spawnedMessage(await workloads.spawn(orderOf(bodyOf(change)), callOf(change, signal))));
}

export function stop(workloads: Workloads, change: Change, signal: AbortSignal): Promise<Answer> {
  return answered(async () => nodeMessage(await workloads.stop(idOf(fieldsOf(change)["id"]), callOf(change, signal))));
}

export function logs(workloads: Workloads, change: Change, signal: AbortSignal): Promise<Answer> {
  return answered(async () => logsMessage(await workloads.logs(logQueryOf(fieldsOf(change)), callOf(change, signal))));
}

async function answered(act: () => Promise<object>): Promise<Answer> {
  try {
    return jsonAnswer(200, { response: ancestorJson(await act()) });
  } catch (error) {
    if (isPlacementError(error)) return errorAnswer(PLACEMENT_STATUS[error.code].http, error.message);
    if (error instanceof SyntaxError) return errorAnswer(400, `the body is not JSON: ${error.message}`);
    throw error;
  }
}

function callOf({ caller }: Change, signal: AbortSignal): WorkloadCall {
  return { signal, ...(caller.nomadToken === undefined ? {} : { nomadToken: caller.nomadToken }) };
}

/** The ancestor has them in the query. */
function fieldsOf(change: Change): Record<string, unknown> {
  return { ...Object.fromEntries(change.query), ...bodyOf(change) };
}

function bodyOf({ body }: Change): Record<string, unknown> {
  if (body.length === 0) return {};
  const value: unknown = JSON.parse(body.toString("utf8"));
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("it is no object");
  return value as Record<string, unknown>;
}
