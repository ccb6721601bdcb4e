/** Nomad's JSON to the shapes of nomad-runs.ts, and the hash of a job. Throws ShapeError, as decode.ts does. */
import { createHash } from "node:crypto";
import { readMeta } from "../job-meta.js";
import type { AllocationRun, AllocationUsage, PlacedAllocation, TaskRun } from "../nomad-runs.js";
import { endpointsOf } from "./decode.js";
import { array, decodeMeta, type Json, object, ShapeError, text } from "./decode.js";

/** What Nomad's servers keep in a job beside what was submitted: it changes while the same job runs. */
const SERVERS_OWN = new Set(["Status", "StatusDescription", "Stable", "Stop", "SubmitTime", "Version", "VersionTag", "CreateIndex", "ModifyIndex", "JobModifyIndex"]);

/** `GET /v1/node/ID/allocations`, those that have started. */
export function decodeRuns(value: unknown): AllocationRun[] {
  return array(value, "allocations").flatMap((item) => {
    const entry = object(item, "allocation");
    const tasks = Object.entries(object(entry["TaskStates"] ?? {}, "TaskStates")).map(([name, state]) => decodeTask(name, object(state, "TaskStates entry")));
    return tasks.some(({ startedAtMs }) => startedAtMs !== undefined) ? [decodeRun(entry, tasks)] : [];
  });
}

/** `GET /v1/node/ID/allocations`, those that are not over. */
export function decodePlaced(value: unknown): PlacedAllocation[] {
  return array(value, "allocations").flatMap((item) => {
    const entry = object(item, "allocation");
    if (!["pending", "running"].includes(text(entry["ClientStatus"], "ClientStatus"))) return [];
    const own = object(entry["NetworkStatus"] ?? {}, "NetworkStatus")["Address"];
    return [{
      id: text(entry["ID"], "ID"),
      job: text(entry["JobID"], "JobID"),
      namespace: text(entry["Namespace"], "Namespace"),
      endpoints: endpointsOf(entry),
      ...(typeof own === "string" && own !== "" ? { ownAddress: own } : {}),
    }];
  });
}

function decodeRun(entry: Json, tasks: TaskRun[]): AllocationRun {
  const job = object(entry["Job"], "Job");
  const taskGroup = text(entry["TaskGroup"], "TaskGroup");
  const group = array(job["TaskGroups"], "Job.TaskGroups").map((one) => object(one, "Job.TaskGroups entry")).find(({ Name }) => Name === taskGroup);
  const drivers = array(group?.["Tasks"], "Tasks").map((task) => text(object(task, "Tasks entry")["Driver"], "Driver"));
  const run: AllocationRun = {
    id: text(entry["ID"], "ID"),
    jobId: text(entry["JobID"], "JobID"),
    namespace: text(entry["Namespace"], "Namespace"),
    taskGroup,
    jobVersion: count(job["Version"], "Job.Version"),
    jobHash: jobHash(job),
    driver: [...new Set(drivers)].sort().join(),
    clientStatus: text(entry["ClientStatus"], "ClientStatus"),
    tasks,
  };
  const decisionId = readMeta(decodeMeta(job["Meta"]))?.source.decisionId;
  return decisionId === undefined ? run : { ...run, decisionId };
}

function decodeTask(name: string, state: Json): TaskRun {
  const task: TaskRun = {
    name,
    restarts: count(state["Restarts"], "Restarts"),
    events: array(state["Events"] ?? [], "Events").map((item) => decodeEvent(object(item, "Events entry"))),
  };
  const [startedAtMs, finishedAtMs] = [time(state["StartedAt"], "StartedAt"), time(state["FinishedAt"], "FinishedAt")];
  if (startedAtMs !== undefined) task.startedAtMs = startedAtMs;
  if (finishedAtMs !== undefined) task.finishedAtMs = finishedAtMs;
  return task;
}

/** Every event has an exit code and a signal in Nomad's JSON; they mean something where a task ended. */
function decodeEvent(event: Json): TaskRun["events"][number] {
  const type = text(event["Type"], "Type");
  const atNs = event["Time"];
  if (typeof atNs !== "number" || !(atNs >= 0)) throw new ShapeError("Time is not a time");
  if (type !== "Terminated") return { type, atNs };
  const [exitCode, signal] = [event["ExitCode"], event["Signal"]];
  return { type, atNs, ...(Number.isSafeInteger(exitCode) ? { exitCode: exitCode as number } : {}), ...(typeof signal === "number" && signal > 0 ? { signal } : {}) };
}

/** `GET /v1/client/allocation/ID/stats`. A figure is one only where Nomad lists it as measured. */
export function decodeUsage(value: unknown): AllocationUsage {
  const usage = object(object(value, "stats")["ResourceUsage"] ?? {}, "ResourceUsage");
  const cpu = measured(usage["CpuStats"], "CpuStats");
  const memory = measured(usage["MemoryStats"], "MemoryStats");
  const [percent, bytes] = [cpu("Percent"), memory("RSS") ?? memory("Usage")];
  return { ...(percent === undefined ? {} : { cpuPpm: Math.round(percent * 1e4) }), ...(bytes === undefined ? {} : { memoryBytes: Math.round(bytes) }) };
}

function measured(value: unknown, path: string): (name: string) => number | undefined {
  const stats = object(value ?? {}, path);
  const names = array(stats["Measured"] ?? [], `${path}.Measured`);
  return (name) => {
    const figure = stats[name];
    return names.includes(name) && typeof figure === "number" && figure >= 0 ? figure : undefined;
  };
}

/** SHA-256 of the job as Nomad has it, without what its servers keep count of: sorted keys, no white space. */
function jobHash(job: Json): string {
  const submitted = Object.fromEntries(Object.entries(job).filter(([name]) => !SERVERS_OWN.has(name)));
  const sorted = (_: string, value: unknown): unknown =>
    typeof value !== "object" || value === null || Array.isArray(value) ? value : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash("sha256").update(JSON.stringify(submitted, sorted)).digest("hex");
}

/** RFC 3339; null, or the year 1, is no time. */
function time(value: unknown, path: string): number | undefined {
  if (value === null || value === undefined) return undefined;
  const ms = Date.parse(text(value, path));
  if (Number.isNaN(ms)) throw new ShapeError(`${path} is not a time`);
  return ms > 0 ? ms : undefined;
}

function count(value: unknown, path: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new ShapeError(`${path} is not a count`);
  return value as number;
}
