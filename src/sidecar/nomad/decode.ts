/**
 * Nomad's JSON to the shapes of nomad-api.ts. Every field that is used is checked; the rest is left alone, so that
 * a newer Nomad may add to it. Throws ShapeError with the path of the field that is wrong.
 */
import type { NomadAgentSelf, NomadAllocation, NomadDriver, NomadEvaluation, NomadNode } from "../nomad-api.js";

export class ShapeError extends Error {}

export type Json = Readonly<Record<string, unknown>>;

/** `GET /v1/agent/self`. Its statistics are strings, and `client` stands among them only where the agent is one. */
export function decodeSelf(value: unknown): NomadAgentSelf {
  const self = object(value, "self");
  const acl = object(object(self["config"], "config")["ACL"] ?? {}, "config.ACL");
  const aclEnabled = acl["Enabled"] === true;
  const client = object(self["stats"], "stats")["client"];
  if (client === undefined) return { aclEnabled, isClient: false };
  const stats = object(client, "stats.client");
  const held = text(stats["num_allocations"], "stats.client.num_allocations");
  if (!/^\d{1,9}$/.test(held)) throw new ShapeError("stats.client.num_allocations is not a count");
  return { aclEnabled, isClient: true, nodeId: text(stats["node_id"], "stats.client.node_id"), heldAllocations: Number(held) };
}

/** `GET /v1/node/ID`. */
export function decodeNode(value: unknown): NomadNode {
  const node = object(value, "node");
  const drivers = new Map<string, NomadDriver>();
  for (const [name, entry] of Object.entries(object(node["Drivers"] ?? {}, "Drivers"))) {
    const driver = object(entry, "Drivers entry");
    drivers.set(name, { detected: driver["Detected"] === true, healthy: driver["Healthy"] === true });
  }
  const attributes = new Map<string, string>();
  for (const [name, entry] of Object.entries(object(node["Attributes"] ?? {}, "Attributes"))) {
    if (typeof entry === "string") attributes.set(name, entry);
  }
  return { id: text(node["ID"], "ID"), name: text(node["Name"], "Name"), status: text(node["Status"], "Status"), drivers, attributes };
}

/** `GET /v1/node/ID/allocations`. */
export function decodeAllocations(value: unknown): NomadAllocation[] {
  return array(value, "allocations").map(decodeAllocation);
}

/** `GET /v1/evaluations`, filtered to what waits: another status is a filter that Nomad did not apply. */
export function decodeWaitingEvaluations(value: unknown): NomadEvaluation[] {
  return array(value, "evaluations").map((item) => {
    const entry = object(item, "evaluation");
    const status = text(entry["Status"], "Status");
    if (status !== "blocked" && status !== "pending") throw new ShapeError("Status is not of an evaluation that waits");
    return { id: text(entry["ID"], "ID"), jobId: text(entry["JobID"], "JobID"), status };
  });
}

function decodeAllocation(value: unknown): NomadAllocation {
  const entry = object(value, "allocation");
  const taskGroup = text(entry["TaskGroup"], "TaskGroup");
  // Nanoseconds beyond 2^53: JSON.parse rounds them by less than a microsecond, which milliseconds do not see.
  const createTimeNs = entry["CreateTime"];
  if (typeof createTimeNs !== "number" || !(createTimeNs >= 0)) throw new ShapeError("CreateTime is not a time");
  const allocation: NomadAllocation = {
    id: text(entry["ID"], "ID"),
    jobId: text(entry["JobID"], "JobID"),
    namespace: text(entry["Namespace"], "Namespace"),
    taskGroup,
    clientStatus: text(entry["ClientStatus"], "ClientStatus"),
    desiredStatus: text(entry["DesiredStatus"], "DesiredStatus"),
    createdAtMs: Math.floor(createTimeNs / 1e6),
  };
  const drivers = driversOf(entry["Job"], taskGroup);
  if (drivers !== undefined) allocation.drivers = drivers;
  const meta = metaIn(entry["Job"]);
  if (meta !== undefined) allocation.meta = meta;
  const endpoints = endpointsOf(entry);
  if (endpoints.length > 0) allocation.endpoints = endpoints;
  return allocation;
}

/** Host ports, as Nomad reserved them; none where the answer does not carry its resources. */
export function endpointsOf(allocation: Json): { address: string; port: number }[] {
  const shared = object(object(allocation["AllocatedResources"] ?? {}, "AllocatedResources")["Shared"] ?? {}, "AllocatedResources.Shared");
  return array(shared["Ports"] ?? [], "Ports").flatMap((item) => {
    const { HostIP: address, Value: port } = object(item, "Ports entry");
    return typeof address === "string" && address !== "" && typeof port === "number" && port > 0 ? [{ address, port }] : [];
  });
}

function metaIn(job: unknown): Map<string, string> | undefined {
  return job === null || job === undefined ? undefined : decodeMeta(object(job, "Job")["Meta"]);
}

/** Null stands for none. */
export function decodeMeta(value: unknown): Map<string, string> {
  return new Map(Object.entries(object(value ?? {}, "Meta")).flatMap(([key, entry]) => (typeof entry === "string" ? [[key, entry] as const] : [])));
}

function driversOf(value: unknown, taskGroup: string): string[] | undefined {
  if (value === null || value === undefined) return undefined;
  for (const entry of array(object(value, "Job")["TaskGroups"] ?? [], "Job.TaskGroups")) {
    const group = object(entry, "Job.TaskGroups entry");
    if (group["Name"] !== taskGroup) continue;
    const drivers = array(group["Tasks"] ?? [], "Tasks").map((task) => text(object(task, "Tasks entry")["Driver"], "Driver"));
    return [...new Set(drivers)].sort();
  }
  return undefined;
}

export function object(value: unknown, path: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new ShapeError(`${path} is not an object`);
  return value as Json;
}

export function array(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new ShapeError(`${path} is not a list`);
  return value as readonly unknown[];
}

export function text(value: unknown, path: string): string {
  if (typeof value !== "string" || value === "") throw new ShapeError(`${path} is not a text`);
  return value;
}
