/** Proof segments and aggregates to payload bytes and back, and their purposes. As codec.ts for beacons. */
import { ibrl } from "../proto/messages.js";
import { integer, MAX_U32, name, optional, RecordError, text } from "./codec.js";
import type { Purpose } from "./envelope.js";
import { HASH_BYTES } from "./merkle.js";
import { type ProofEvent, type ProofSegment, type ProofSpan } from "./proof-record.js";
import type { ProofReference, ProofTotals, Traffic } from "./record.js";

const wire = ibrl.v1;
const MAX = Number.MAX_SAFE_INTEGER;
const SIGNATURE_BYTES = 64;
/** Nomad keeps ten events of a task, and a segment has some ten spans: room for a group of fifty tasks. */
const MAX_SPANS = 64;
const MAX_EVENTS = 512;

export interface ProofAggregate {
  node: string;
  datacenter: string;
  epoch: number;
  issuedAtMs: number;
  count: number;
  /** Lower-case hex: merkleRoot over the hashes of the newest segments. */
  root: string;
}

export const PROOF: Purpose<ProofSegment> = {
  domain: "ibrl/v1/proof",
  type: wire.PayloadType.PROOF,
  maxBytes: 64 * 1024,
  encode: encodeSegment,
  decode: (payload) => readSegment(wire.ProofSegment.decode(payload)),
};

export const PROOF_AGGREGATE: Purpose<ProofAggregate> = {
  domain: "ibrl/v1/proof-aggregate",
  type: wire.PayloadType.PROOF_AGGREGATE,
  maxBytes: 512,
  encode: (aggregate) => {
    const payload = { node: aggregate.node, datacenter: aggregate.datacenter, issued_at_ms: aggregate.issuedAtMs, count: aggregate.count, root: bytes(aggregate.root), epoch: aggregate.epoch };
    readAggregate(payload);
    return wire.ProofAggregate.encode(payload).finish();
  },
  decode: (payload) => readAggregate(wire.ProofAggregate.decode(payload)),
};

function encodeSegment(segment: ProofSegment): Uint8Array {
  const { totals } = segment;
  const payload: ibrl.v1.ProofSegment.$Properties = {
    node: segment.node,
    datacenter: segment.datacenter,
    epoch: segment.epoch,
    issued_at_ms: segment.issuedAtMs,
    allocation: segment.allocation,
    job: segment.job,
    namespace: segment.namespace,
    task_group: segment.taskGroup,
    job_version: segment.jobVersion,
    job_hash: bytes(segment.jobHash),
    driver: segment.driver,
    beacon: bytes(segment.beaconHash),
    index: segment.index,
    from_ms: segment.fromMs,
    spans: segment.spans.map(writeSpan),
    events: segment.events.map(writeEvent),
    totals: writeTotals(totals),
    ended: segment.ended,
    kept_from: segment.keptFrom,
  };
  if (segment.decisionId !== undefined) payload.decision = segment.decisionId;
  if (segment.previousHash !== undefined) payload.previous = bytes(segment.previousHash);
  readSegment(payload);
  return wire.ProofSegment.encode(payload).finish();
}

function readSegment(m: ibrl.v1.ProofSegment.$Properties): ProofSegment {
  const index = integer("index", m.index, MAX_U32);
  const segment: ProofSegment = {
    node: name("node", m.node),
    datacenter: name("datacenter", m.datacenter),
    epoch: integer("epoch", m.epoch, MAX),
    issuedAtMs: integer("issued_at_ms", m.issued_at_ms, MAX),
    allocation: text("allocation", m.allocation),
    job: text("job", m.job),
    namespace: text("namespace", m.namespace),
    taskGroup: text("task_group", m.task_group),
    jobVersion: integer("job_version", m.job_version, MAX),
    jobHash: hash("job_hash", m.job_hash),
    driver: text("driver", m.driver),
    beaconHash: hash("beacon", m.beacon),
    index,
    fromMs: integer("from_ms", m.from_ms, MAX),
    spans: bounded("spans", m.spans ?? [], MAX_SPANS).map(readSpan),
    events: bounded("events", m.events ?? [], MAX_EVENTS).map(readEvent),
    totals: readTotals(m.totals),
    ended: text("ended", m.ended),
    keptFrom: integer("kept_from", m.kept_from, index),
  };
  known(segment, "decisionId", text("decision", m.decision) || undefined);
  if ((m.previous ?? []).length > 0) segment.previousHash = hash("previous", m.previous);
  if ((segment.previousHash === undefined) !== (index === 0)) throw new RecordError("previous", "stands in every segment but the first");
  let atMs = segment.fromMs;
  for (const { endMs, traffic } of segment.spans) {
    if (endMs <= atMs) throw new RecordError("spans.end_ms", `${String(endMs)} is not after ${String(atMs)}`);
    if ((traffic?.meteredMs ?? 0) > endMs - atMs) throw new RecordError("spans.metered_ms", "is more than the span");
    atMs = endMs;
  }
  return segment;
}

function writeSpan(span: ProofSpan): ibrl.v1.ProofSpan.$Properties {
  const written: ibrl.v1.ProofSpan.$Properties = { end_ms: span.endMs, gap: span.gap ?? "", ...writeTraffic(span.traffic) };
  if (span.cpuPpm !== undefined) written.cpu_ppm = span.cpuPpm;
  if (span.memoryBytes !== undefined) written.memory_bytes = span.memoryBytes;
  return written;
}

function readSpan(m: ibrl.v1.ProofSpan.$Properties): ProofSpan {
  const span: ProofSpan = { endMs: integer("spans.end_ms", m.end_ms, MAX) };
  const gap = text("spans.gap", m.gap);
  if (gap !== "") span.gap = gap;
  known(span, "cpuPpm", optional("spans.cpu_ppm", m.cpu_ppm, MAX));
  known(span, "memoryBytes", optional("spans.memory_bytes", m.memory_bytes, MAX));
  if (gap !== "" && Object.keys(span).length > 2) throw new RecordError("spans.gap", "figures stand in a span at which nobody looked");
  known(span, "traffic", readTraffic("spans", m));
  return span;
}

type TrafficMessage = Pick<ibrl.v1.ProofTotals.$Properties, "bytes_in" | "bytes_out" | "metered_ms">;

function writeTraffic(traffic: Traffic | undefined): TrafficMessage {
  return traffic === undefined ? {} : { bytes_in: traffic.bytesIn, bytes_out: traffic.bytesOut, metered_ms: traffic.meteredMs };
}

function readTraffic(field: string, m: TrafficMessage | null | undefined): Traffic | undefined {
  const [bytesIn, bytesOut, meteredMs] = (["bytes_in", "bytes_out", "metered_ms"] as const).map((figure) => optional(`${field}.${figure}`, m?.[figure], MAX));
  if (bytesIn === undefined && bytesOut === undefined && meteredMs === undefined) return undefined;
  if (bytesIn === undefined || bytesOut === undefined || meteredMs === undefined) throw new RecordError(`${field}.metered_ms`, "stands with bytes_in and bytes_out, or none of them does");
  return { bytesIn, bytesOut, meteredMs };
}

function writeTotals({ watchedMs, gapMs, restarts, traffic }: ProofTotals): ibrl.v1.ProofTotals.$Properties {
  return { watched_ms: watchedMs, gap_ms: gapMs, restarts, ...writeTraffic(traffic) };
}

function writeEvent(event: ProofEvent): ibrl.v1.ProofEvent.$Properties {
  const written: ibrl.v1.ProofEvent.$Properties = { task: event.task, type: event.type, at_ms: event.atMs };
  if (event.exitCode !== undefined) written.exit_code = event.exitCode;
  if (event.signal !== undefined) written.signal = event.signal;
  return written;
}

function readEvent(m: ibrl.v1.ProofEvent.$Properties): ProofEvent {
  const event: ProofEvent = { task: text("events.task", m.task), type: text("events.type", m.type), atMs: integer("events.at_ms", m.at_ms, MAX) };
  if (m.exit_code !== null && m.exit_code !== undefined) event.exitCode = m.exit_code;
  known(event, "signal", optional("events.signal", m.signal, MAX_U32));
  return event;
}

export function writeReference({ hash: of, signature, issuedAtMs, driver, totals, cpuPpm, memoryBytes }: ProofReference): ibrl.v1.ProofReference.$Properties {
  return {
    hash: bytes(of), signature: bytes(signature), issued_at_ms: issuedAtMs, driver,
    totals: writeTotals(totals),
    ...(cpuPpm === undefined ? {} : { cpu_ppm: cpuPpm }),
    ...(memoryBytes === undefined ? {} : { memory_bytes: memoryBytes }),
  };
}

export function readReference(m: ibrl.v1.ProofReference.$Properties): ProofReference {
  if (m.signature?.length !== SIGNATURE_BYTES) throw new RecordError("proof.signature", `must have ${String(SIGNATURE_BYTES)} bytes`);
  const reference: ProofReference = {
    hash: hash("proof.hash", m.hash),
    signature: Buffer.from(m.signature).toString("hex"),
    issuedAtMs: integer("proof.issued_at_ms", m.issued_at_ms, MAX),
    driver: text("proof.driver", m.driver),
    totals: readTotals(m.totals),
  };
  known(reference, "cpuPpm", optional("proof.cpu_ppm", m.cpu_ppm, MAX));
  known(reference, "memoryBytes", optional("proof.memory_bytes", m.memory_bytes, MAX));
  return reference;
}

function readTotals(m: ibrl.v1.ProofTotals.$Properties | null | undefined): ProofTotals {
  const totals: ProofTotals = {
    watchedMs: integer("totals.watched_ms", m?.watched_ms, MAX),
    gapMs: integer("totals.gap_ms", m?.gap_ms, MAX),
    restarts: integer("totals.restarts", m?.restarts, MAX_U32),
  };
  known(totals, "traffic", readTraffic("totals", m));
  return totals;
}

function readAggregate(m: ibrl.v1.ProofAggregate.$Properties): ProofAggregate {
  return {
    node: name("node", m.node),
    datacenter: name("datacenter", m.datacenter),
    epoch: integer("epoch", m.epoch, MAX),
    issuedAtMs: integer("issued_at_ms", m.issued_at_ms, MAX),
    count: integer("count", m.count, MAX_U32),
    root: hash("root", m.root),
  };
}

function bounded<T>(field: string, list: readonly T[], max: number): readonly T[] {
  if (list.length > max) throw new RecordError(field, `${String(list.length)} entries; at most ${String(max)}`);
  return list;
}

function hash(field: string, value: Uint8Array | null | undefined): string {
  if (value?.length !== HASH_BYTES) throw new RecordError(field, `${String(value?.length ?? 0)} bytes; a SHA-256 has ${String(HASH_BYTES)}`);
  return Buffer.from(value).toString("hex");
}

function bytes(hex: string): Uint8Array {
  return Buffer.from(hex, "hex");
}

function known<T, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) target[key] = value;
}
