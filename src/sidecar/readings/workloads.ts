/**
 * The workloads of this node: its Nomad allocations that run, or that wait and are meant to run. Pure. Without Nomad
 * they are unknown, which is not none.
 */
import type { Workload } from "../../beacon/record.js";
import { readMeta } from "../job-meta.js";
import type { NomadAllocation } from "../nomad-api.js";
import { measured, type Reading } from "./reading.js";

/** Of one allocation, that its node's signed state names. */
const MAX_ENDPOINTS = 64;

/** Sorted by allocation ID, so that the same workloads make the same record whatever order Nomad answers in. */
export function workloadsOf(allocations: Reading<readonly NomadAllocation[]>): Reading<Workload[]> {
  if (allocations.value === undefined) return allocations;
  const workloads = allocations.value
    .filter((a) => a.clientStatus === "running" || isQueued(a))
    .map(workloadOf);
  return measured(workloads.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)));
}

function workloadOf(a: NomadAllocation): Workload {
  const workload: Workload = { id: a.id, job: a.jobId, namespace: a.namespace, taskGroup: a.taskGroup, status: a.clientStatus, createdAtMs: a.createdAtMs };
  const source = a.meta === undefined ? undefined : readMeta(a.meta)?.source;
  if (source !== undefined) workload.source = source;
  if (a.endpoints !== undefined) workload.endpoints = a.endpoints.slice(0, MAX_ENDPOINTS);
  return workload;
}

/** Placed on this node, meant to run, and not started yet. */
export function isQueued(allocation: NomadAllocation): boolean {
  return allocation.clientStatus === "pending" && allocation.desiredStatus === "run";
}
