/**
 * The Nomad job of a workload: a filled template, and what no template decides: the job's ID, its meta, the constraint
 * that pins it to the chosen node, and what becomes of it when its node is cut off. Pure.
 */
import { createHash } from "node:crypto";
import { DEFAULT_KILL_MS, type JobMeta, JOB_PREFIX, metaOf, type Placed } from "../job-meta.js";
import type { JobDocument } from "../nomad-jobs.js";
import type { SpawnOrder } from "../spawn-order.js";
import { fill, type Json, type JsonObject, type Values } from "./job-template.js";
import type { Reference } from "./reference.js";

export interface JobSpec {
  template: JsonObject;
  reference: Reference;
  order: SpawnOrder;
  meta: JobMeta;
  /** Consul's name of the node. */
  node: string;
  /** Exclusive jobs: how long after its node lost the servers the old copy stops itself. */
  stopOnClientAfterMs: number;
}

const CONSUL_NAME = "${attr.unique.consul.name}";
/** Nomad counts in MHz; a core is this many, whatever the machine. A template may take {{cores}} instead. */
const MHZ_PER_CORE = 1_000;
const NS_PER_MS = 1_000_000;

/** The same request is the same job: 80 bits of its hash. */
export function jobIdOf(requestId: string): string {
  return `${JOB_PREFIX}${createHash("sha256").update(requestId).digest("hex").slice(0, 20)}`;
}

export function portLabel(workloadPort: number): string {
  return `p${String(workloadPort)}`;
}

export function jobOf({ template, reference, order, meta, node, stopOnClientAfterMs }: JobSpec): JobDocument {
  const job = fill(template, valuesOf(reference, order));
  const [group] = job["TaskGroups"] as readonly JsonObject[];
  const id = jobIdOf(order.requestId);
  const exclusive = { Disconnect: { StopOnClientAfter: stopOnClientAfterMs * NS_PER_MS, Replace: false } };
  return {
    ...job,
    ID: id,
    Name: id,
    Meta: { ...(job["Meta"] as JsonObject | undefined), ...metaOf(meta) },
    Constraints: [...((job["Constraints"] as Json[] | undefined) ?? []), pinTo(node)],
    TaskGroups: [{ ...group, Name: groupName(meta), ...(order.allowOverlap ? {} : exclusive) }],
  };
}

/**
 * The job as it stands in Nomad, on another node. `apart`: Nomad starts the new copy without waiting for the old one, which
 * has ended, or need not have.
 */
export function movedJob(standing: JobDocument, meta: JobMeta & { placed: Placed }, apart: boolean): JobDocument {
  const constraints = (standing["Constraints"] as JsonObject[] | null) ?? [];
  const [group] = standing["TaskGroups"] as readonly JsonObject[];
  return {
    ...standing,
    Meta: { ...(standing["Meta"] as JsonObject | null), ...metaOf(meta) },
    Constraints: [...constraints.filter(({ LTarget }) => LTarget !== CONSUL_NAME), pinTo(meta.placed.node)],
    TaskGroups: [{ ...group, ...(apart ? { Name: `work-${String(meta.source.generation)}` } : {}) }],
  };
}

/** What Nomad gives the tasks of a template's group between the first word and the kill; a client may give less. */
export function killMsOf(template: JsonObject): number {
  const [group = {}] = template["TaskGroups"] as readonly JsonObject[];
  const ns = (value: Json | undefined, otherwise: number): number => (typeof value === "number" ? value : otherwise * NS_PER_MS);
  const tasks = (group["Tasks"] as readonly JsonObject[] | undefined) ?? [];
  const longestNs = Math.max(0, ...tasks.map((task) => ns(task["ShutdownDelay"], 0) + ns(task["KillTimeout"], DEFAULT_KILL_MS)));
  return Math.ceil((ns(group["ShutdownDelay"], 0) + longestNs) / NS_PER_MS);
}

function pinTo(node: string): JsonObject {
  return { LTarget: CONSUL_NAME, RTarget: node, Operand: "=" };
}

/** A new name lets Nomad start the next copy without waiting for the last one to end; the same name makes it wait. */
function groupName({ source }: JobMeta): string {
  return source.allowOverlap ? `work-${String(source.generation)}` : "work";
}

function valuesOf({ target, args, jvmArgs, artifacts }: Reference, { cores, memoryMb, ports, dynamicPorts, env }: SpawnOrder): Values {
  const labels = [...ports.map(({ workload }) => workload), ...dynamicPorts];
  return {
    image: target,
    path: target,
    args,
    jvm_args: jvmArgs,
    artifacts: artifacts.map((source) => ({ GetterSource: source, RelativeDest: "local/" })),
    env: Object.fromEntries(env.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)])),
    cores,
    cpu_mhz: cores * MHZ_PER_CORE,
    memory_mb: memoryMb,
    host_ports: ports.map(({ host, workload }) => ({ Label: portLabel(workload), Value: host })),
    mapped_ports: ports.map(({ host, workload }) => ({ Label: portLabel(workload), Value: host, To: workload })),
    dynamic_host_ports: dynamicPorts.map((port) => ({ Label: portLabel(port) })),
    dynamic_mapped_ports: dynamicPorts.map((port) => ({ Label: portLabel(port), To: port })),
    port_labels: labels.map(portLabel),
    port_map: labels.map((port) => ({ [portLabel(port)]: port })),
  };
}
