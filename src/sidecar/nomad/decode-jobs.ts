/** Nomad's JSON to the shapes of nomad-jobs.ts, as decode.ts does for those of nomad-api.ts. Throws ShapeError. */
import type { AllocatedPort, JobAllocation, JobDocument, NomadJob, NomadPlan, SchedulableNode, StopsOnClient, TaskState } from "../nomad-jobs.js";
import { array, decodeMeta, decodeNode, type Json, object, ShapeError, text } from "./decode.js";

/** `GET /v1/nodes`. */
export function decodeEligible(value: unknown): string[] {
  return array(value, "nodes")
    .map((entry) => object(entry, "nodes entry"))
    .filter(isSchedulable)
    .map((node) => text(node["ID"], "ID"));
}

/** `GET /v1/node/ID`. */
export function decodeSchedulable(value: unknown, next: string | undefined): SchedulableNode {
  const node = object(value, "node");
  return { ...decodeNode(node), eligible: isSchedulable(node), statusChangedAtMs: index(node["StatusUpdatedAt"], "StatusUpdatedAt") * 1_000, index: decodeIndexed(next) };
}

/** `GET /v1/node/ID/allocations`. */
export function decodeStopsOnClient(value: unknown): StopsOnClient {
  const stops = array(value, "allocations").flatMap((item) => {
    const entry = object(item, "allocation");
    const groups = array(object(entry["Job"] ?? {}, "Job")["TaskGroups"] ?? [], "Job.TaskGroups").map((group) => object(group, "Job.TaskGroups entry"));
    const group = groups.find(({ Name }) => Name === entry["TaskGroup"]);
    // The first is what the other was called before Nomad 1.8.
    const stopNs = group?.["StopAfterClientDisconnect"] ?? object(group?.["Disconnect"] ?? {}, "Disconnect")["StopOnClientAfter"];
    return typeof stopNs === "number" ? [{ atMs: timeMs(entry["CreateTime"], "CreateTime"), stopMs: timeMs(stopNs, "StopOnClientAfter") }] : [];
  });
  return stops.length === 0 ? {} : { newestAtMs: Math.max(...stops.map(({ atMs }) => atMs)), shortestStopMs: Math.min(...stops.map(({ stopMs }) => stopMs)) };
}

function isSchedulable(node: Json): boolean {
  return node["Status"] === "ready" && node["SchedulingEligibility"] === "eligible" && node["Drain"] !== true;
}

/** `GET /v1/job/ID`, and an entry of `GET /v1/jobs?meta=true`. */
export function decodeJob(value: unknown): NomadJob {
  const job = object(value, "job");
  return {
    id: text(job["ID"], "ID"),
    namespace: text(job["Namespace"], "Namespace"),
    status: text(job["Status"], "Status"),
    stopped: job["Stop"] === true,
    modifyIndex: index(job["JobModifyIndex"], "JobModifyIndex"),
    meta: decodeMeta(job["Meta"]),
    tasks: array(job["TaskGroups"] ?? [], "TaskGroups").flatMap((group) => array(object(group, "TaskGroups entry")["Tasks"] ?? [], "Tasks").map((task) => text(object(task, "Tasks entry")["Name"], "Name"))),
  };
}

/** `GET /v1/job/ID`, to be written again. */
export function decodeDocument(value: unknown): { job: NomadJob; version: number; document: JobDocument } {
  const document = object(value, "job");
  return { job: decodeJob(document), version: index(document["Version"], "Version"), document: { ...document, ID: text(document["ID"], "ID") } };
}

/** `GET /v1/jobs?meta=true`. */
export function decodeJobs(value: unknown): NomadJob[] {
  return array(value, "jobs").map(decodeJob);
}

/** `PUT /v1/job/ID/plan`. */
export function decodePlan(value: unknown): NomadPlan {
  const answer = object(value, "plan");
  const failed = Object.values(object(answer["FailedTGAllocs"] ?? {}, "FailedTGAllocs"));
  const problems = failed.flatMap((entry) => problemsOf(object(entry, "FailedTGAllocs entry")));
  return { problems, warnings: typeof answer["Warnings"] === "string" ? answer["Warnings"] : "", answer };
}

/** Which constraint left out how many nodes, and which resource was used up on how many. */
function problemsOf(metric: Json): string[] {
  const filtered = Object.entries(object(metric["ConstraintFiltered"] ?? {}, "ConstraintFiltered"))
    .filter(([constraint]) => !constraint.startsWith("${attr.unique.consul.name} ")) // ours: it leaves out all other nodes
    .map(([constraint]) => constraint);
  const exhausted = Object.keys(object(metric["DimensionExhausted"] ?? {}, "DimensionExhausted")).map((dimension) => `${dimension} exhausted`);
  const found = [...filtered, ...exhausted];
  return found.length > 0 ? found : ["no node takes it"];
}

/** `PUT /v1/jobs`. */
export function decodeRegistered(value: unknown): number {
  return index(object(value, "registration")["JobModifyIndex"], "JobModifyIndex");
}

/** `GET /v1/job/ID/allocations` and `GET /v1/allocations`. Newest first. */
export function decodeJobAllocations(value: unknown): JobAllocation[] {
  return array(value, "allocations")
    .map(decodeJobAllocation)
    .sort((a, b) => b.createdAtMs - a.createdAtMs);
}

function decodeJobAllocation(value: unknown): JobAllocation {
  const entry = object(value, "allocation");
  return {
    id: text(entry["ID"], "ID"),
    jobId: text(entry["JobID"], "JobID"),
    namespace: text(entry["Namespace"], "Namespace"),
    nodeId: text(entry["NodeID"], "NodeID"),
    nodeName: text(entry["NodeName"], "NodeName"),
    taskGroup: text(entry["TaskGroup"], "TaskGroup"),
    jobVersion: index(entry["JobVersion"], "JobVersion"),
    clientStatus: text(entry["ClientStatus"], "ClientStatus"),
    desiredStatus: text(entry["DesiredStatus"], "DesiredStatus"),
    createdAtMs: timeMs(entry["CreateTime"], "CreateTime"),
    modifiedAtMs: timeMs(entry["ModifyTime"], "ModifyTime"),
    tasks: new Map(Object.entries(object(entry["TaskStates"] ?? {}, "TaskStates")).map(([name, state]) => [name, decodeTask(state)])),
  };
}

function decodeTask(value: unknown): TaskState {
  const task = object(value, "task state");
  const events = array(task["Events"] ?? [], "Events").map((entry) => {
    const event = object(entry, "Events entry");
    return { type: text(event["Type"], "Type"), message: typeof event["DisplayMessage"] === "string" ? event["DisplayMessage"] : "" };
  });
  return { state: text(task["State"], "State"), failed: task["Failed"] === true, events };
}

/** `GET /v1/allocation/ID`. */
export function decodePorts(value: unknown): AllocatedPort[] {
  const resources = object(object(value, "allocation")["AllocatedResources"] ?? {}, "AllocatedResources");
  const shared = object(resources["Shared"] ?? {}, "AllocatedResources.Shared");
  return array(shared["Ports"] ?? [], "Ports").map((entry) => {
    const port = object(entry, "Ports entry");
    return { label: text(port["Label"], "Label"), address: text(port["HostIP"], "HostIP"), port: index(port["Value"], "Value") };
  });
}

/** The X-Nomad-Index of an answer: opaque, handed back as it came. */
export function decodeIndexed(header: string | undefined): string {
  if (header === undefined || !/^\d{1,20}$/.test(header)) throw new ShapeError("X-Nomad-Index is not an index");
  return header;
}

/** From Unix nanoseconds. */
function timeMs(value: unknown, path: string): number {
  if (typeof value !== "number" || !(value >= 0)) throw new ShapeError(`${path} is not a time`);
  return Math.floor(value / 1e6);
}

function index(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new ShapeError(`${path} is not an index`);
  return value;
}
