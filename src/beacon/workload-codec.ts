/**
 * Workloads, and batches of ten of them, to bytes and back. A node with more than ten signs the hash of each batch in its
 * state; workload-batches.ts puts both together.
 */
import { createHash } from "node:crypto";
import { ibrl } from "../proto/messages.js";
import { integer, MAX_U32, messageIn, RecordError, text } from "./codec.js";
import { readReference, writeReference } from "./proof-codec.js";
import type { Workload, WorkloadBatches, WorkloadSource } from "./record.js";

const wire = ibrl.v1;
/** Of workloads; as many stand in a state itself. */
export const BATCH_SIZE = 10;
const MAX_PORTS = 64;

/**
 * The bytes of each batch; none for workloads that stand in the state itself. Throws RecordError where a field is out of
 * range, or the workloads are not in the order of their IDs.
 */
export function batchesOf(workloads: readonly Workload[]): Uint8Array[] {
  if (workloads.length <= BATCH_SIZE) return [];
  const batches = Array.from({ length: Math.ceil(workloads.length / BATCH_SIZE) }, (_, i) => workloads.slice(i * BATCH_SIZE, (i + 1) * BATCH_SIZE).map(writeWorkload));
  inOrder(batches.flat().map(readWorkload)); // the same bounds for what we send as for what we receive
  return batches.map((batch) => wire.WorkloadBatch.encode({ workloads: batch }).finish());
}

/** The workloads of all batches of a state that says how many there are. Throws RecordError, and nothing else. */
export function readBatches(batches: readonly Uint8Array[], count: number): Workload[] {
  const read = batches.map((bytes, i) => {
    const workloads = messageIn((from) => wire.WorkloadBatch.decode(from), bytes).workloads ?? [];
    const expected = Math.min(BATCH_SIZE, count - i * BATCH_SIZE);
    if (workloads.length !== expected) throw new RecordError("workload_batches", `batch ${String(i + 1)} has ${String(workloads.length)} workloads; it must have ${String(expected)}`);
    return workloads.map(readWorkload);
  });
  return inOrder(read.flat());
}

/** Lower-case hex SHA-256, by which a state names a batch. */
export function batchHash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What a state says of its batches; undefined where its workloads stand in itself. */
export function batchNames(batches: readonly Uint8Array[], count: number): WorkloadBatches | undefined {
  return batches.length === 0 ? undefined : { count, hashes: batches.map(batchHash) };
}

function inOrder(workloads: Workload[]): Workload[] {
  if (workloads.some(({ id }, i) => i > 0 && id <= (workloads[i - 1]?.id ?? ""))) throw new RecordError("workloads", "must stand in the order of their IDs, each once");
  return workloads;
}

export function writeWorkload(w: Workload): ibrl.v1.Workload.$Properties {
  return {
    id: w.id,
    job: w.job,
    namespace: w.namespace,
    task_group: w.taskGroup,
    status: w.status,
    created_at_ms: w.createdAtMs,
    ...(w.source === undefined ? {} : { source: writeSource(w.source) }),
    ...(w.proof === undefined ? {} : { proof: writeReference(w.proof) }),
    endpoints: (w.endpoints ?? []).map(({ address, port }) => ({ address, port })),
  };
}

export function readWorkload(w: ibrl.v1.Workload.$Properties): Workload {
  const source = w.source === null || w.source === undefined ? {} : { source: readSource(w.source) };
  return {
    id: text("workloads.id", w.id),
    job: text("workloads.job", w.job),
    namespace: text("workloads.namespace", w.namespace),
    taskGroup: text("workloads.task_group", w.task_group),
    status: text("workloads.status", w.status),
    createdAtMs: integer("workloads.created_at_ms", w.created_at_ms, Number.MAX_SAFE_INTEGER),
    ...source,
    ...(w.proof === null || w.proof === undefined ? {} : { proof: readReference(w.proof) }),
    ...readEndpoints(w.endpoints ?? []),
  };
}

function readEndpoints(listed: readonly ibrl.v1.Endpoint.$Properties[]): Pick<Workload, "endpoints"> {
  if (listed.length > MAX_PORTS) throw new RecordError("workloads.endpoints", `more than ${String(MAX_PORTS)}`);
  if (listed.length === 0) return {};
  return { endpoints: listed.map(({ address, port }) => ({ address: text("workloads.endpoints.address", address), port: integer("workloads.endpoints.port", port, 65_535) })) };
}

function writeSource({ requestId, decisionId, generation, imageRef, cores, memoryMb, ports, allowOverlap }: WorkloadSource): ibrl.v1.WorkloadSource.$Properties {
  return {
    request_id: requestId, decision_id: decisionId, generation, image_ref: imageRef, cores, memory_mb: memoryMb, allow_overlap: allowOverlap,
    ports: ports.map(({ host, workload }) => ({ host, workload })),
  };
}

function readSource(s: ibrl.v1.WorkloadSource.$Properties): WorkloadSource {
  const ports = s.ports ?? [];
  if (ports.length > MAX_PORTS) throw new RecordError("workloads.source.ports", `more than ${String(MAX_PORTS)}`);
  return {
    requestId: text("workloads.source.request_id", s.request_id),
    decisionId: text("workloads.source.decision_id", s.decision_id),
    generation: integer("workloads.source.generation", s.generation, MAX_U32),
    imageRef: text("workloads.source.image_ref", s.image_ref),
    cores: integer("workloads.source.cores", s.cores, MAX_U32),
    memoryMb: integer("workloads.source.memory_mb", s.memory_mb, MAX_U32),
    ports: ports.map(({ host, workload }) => ({
      host: integer("workloads.source.ports.host", host, 65_535),
      workload: integer("workloads.source.ports.workload", workload, 65_535),
    })),
    allowOverlap: s.allow_overlap ?? false,
  };
}
