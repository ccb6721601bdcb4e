/**
 * What a node signs of an allocation that it ran: segments, each over a stretch of time without a hole, chained by hash.
 * Not how they are made (src/sidecar/proofs) and not how a file of them is verified (proof-file.ts). What a segment
 * proves is that the node's key said so at the time; what it does not prove is in docs/proofs.md. Times are Unix milliseconds.
 */
import type { ProofReference, ProofTotals, Traffic } from "./record.js";

/** From the end of the span before to `endMs`. */
export interface ProofSpan {
  endMs: number;
  /** Why nobody looked for more than a period; absent where the node did, at its end. */
  gap?: string;
  /** At the span's end, over the allocation's tasks, in millionths of a core; absent where Nomad does not tell. */
  cpuPpm?: number;
  memoryBytes?: number;
  /** Within the span; absent where nothing counted. A gap may have it: it is the kernel that counts. */
  traffic?: Traffic;
}

/** A task's event in Nomad's words. */
export interface ProofEvent {
  task: string;
  type: string;
  atMs: number;
  exitCode?: number;
  signal?: number;
}

/** The allocation that a chain is about; Nomad may change its job in place, with a new version. */
export interface ProofSubject {
  node: string;
  datacenter: string;
  allocation: string;
  job: string;
  namespace: string;
  taskGroup: string;
  jobVersion: number;
  /** Lower-case hex SHA-256 of the job (src/sidecar/nomad/decode-runs.ts says of what in it). */
  jobHash: string;
  driver: string;
  /** Of the decision that placed the job; absent where none of ours did. */
  decisionId?: string;
}

export interface ProofSegment extends ProofSubject {
  epoch: number;
  issuedAtMs: number;
  /** Hash of the node's sealed beacon when it signed. */
  beaconHash: string;
  index: number;
  /** Hash of the sealed segment before; absent at index 0. */
  previousHash?: string;
  fromMs: number;
  spans: readonly ProofSpan[];
  events: readonly ProofEvent[];
  totals: ProofTotals;
  /** Nomad's word on how the allocation ended; empty while it has not. */
  ended: string;
  /** Index of the oldest segment that the node still kept. */
  keptFrom: number;
}

/** What a signed state says of the chain. */
export function referenceTo({ record, hash, signature }: { record: ProofSegment; hash: string; signature: Uint8Array }): ProofReference {
  const { issuedAtMs, driver, totals, spans } = record;
  const { cpuPpm, memoryBytes } = spans.at(-1) ?? {};
  return {
    hash, issuedAtMs, driver, totals,
    signature: Buffer.from(signature).toString("hex"),
    ...(cpuPpm === undefined ? {} : { cpuPpm }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  };
}

export function endOf(segment: { fromMs: number; spans: readonly ProofSpan[] }): number {
  return segment.spans.at(-1)?.endMs ?? segment.fromMs;
}

/** `before` and a segment's own spans. */
export function addSpans(before: Omit<ProofTotals, "restarts">, segment: Pick<ProofSegment, "fromMs" | "spans">): Omit<ProofTotals, "restarts"> {
  let { watchedMs, gapMs, traffic } = before;
  let atMs = segment.fromMs;
  for (const { endMs, gap, traffic: carried } of segment.spans) {
    if (gap === undefined) watchedMs += endMs - atMs;
    else gapMs += endMs - atMs;
    traffic = addTraffic(traffic, carried);
    atMs = endMs;
  }
  return { watchedMs, gapMs, ...(traffic === undefined ? {} : { traffic }) };
}

export function addTraffic(a: Traffic | undefined, b: Traffic | undefined): Traffic | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { bytesIn: a.bytesIn + b.bytesIn, bytesOut: a.bytesOut + b.bytesOut, meteredMs: a.meteredMs + b.meteredMs };
}
