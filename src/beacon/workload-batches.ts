/**
 * The batches of a node's workloads beside its signed state: how they lie in KV, and how a reader puts them to the state. The
 * state's signature covers them by their hashes, so that a reader has all of the workloads that were signed, or rejects the
 * state. Their names are their hashes too: a new set never takes the place of one that a state in KV still names.
 */
import { batchKey, readableWorkload } from "./documents.js";
import type { Opened, Verified } from "./envelope.js";
import type { NodeState, Workload } from "./record.js";
import { reject, type Rejection } from "./rejection.js";
import { BATCH_SIZE, batchHash, readBatches } from "./workload-codec.js";

/** Ten workloads with 64 ports each have some 60 KiB. */
const MAX_BATCH_BYTES = 128 * 1024;

/** What stands under a key of KV; `oversized` where it is larger than Consul's own limit. */
export type Stored = Uint8Array | "oversized" | undefined;

/** Puts the batches, as they came beside the state, to it: then its workloads are known. */
export function withBatches(state: Verified<NodeState>, came: readonly Uint8Array[]): Opened<NodeState> {
  const { batches } = state.record;
  if (batches === undefined) return came.length === 0 ? { ok: true, verified: state } : reject("readable-mismatch", "batches of workloads came beside a state that names none");
  if (came.length !== batches.hashes.length) return reject("incomplete", `${String(came.length)} batches of workloads; the state names ${String(batches.hashes.length)}`);
  const bytes = came.map((each) => Uint8Array.from(each)); // the caller may reuse its buffer
  for (const [i, each] of bytes.entries()) {
    if (each.length > MAX_BATCH_BYTES) return reject("oversized", `${batchName(i)}: ${String(each.length)} bytes; at most ${String(MAX_BATCH_BYTES)}`);
    if (batchHash(each) !== batches.hashes[i]) return reject("incomplete", `${batchName(i)} has other bytes than those that were signed`);
  }
  try {
    const workloads = readBatches(bytes, batches.count);
    return { ok: true, verified: { ...state, record: { ...state.record, workloads, batches: { ...batches, bytes } } } };
  } catch (error) {
    return reject("malformed-payload", error instanceof Error ? error.message : String(error));
  }
}

/** As withBatches, of what stands in KV, its readable copies checked too. */
export function withStoredBatches(state: Verified<NodeState>, at: (key: string) => Stored): Opened<NodeState> {
  const documents: BatchDocument[] = [];
  for (const key of batchKeys(state.record)) {
    const value = at(key);
    if (value === undefined) return reject("incomplete", `${key} is not there`);
    const document = value === "oversized" ? reject("oversized", `${key} holds more than Consul takes`) : parseBatchDocument(value, key);
    if ("ok" in document) return document;
    documents.push(document);
  }
  const whole = withBatches(state, documents.map(({ bytes }) => bytes));
  if (!whole.ok) return whole;
  const { workloads = [] } = whole.verified.record;
  const edited = documents.find(({ readable }, i) => JSON.stringify(readable) !== JSON.stringify(inBatch(workloads, i).map(readableWorkload)));
  return edited === undefined ? whole : reject("readable-mismatch", `the readable workloads in ${edited.key} are not what the batch says`);
}

/** Where the batches that a state names lie. */
export function batchKeys({ node, batches }: NodeState): string[] {
  return (batches?.hashes ?? []).map((hash) => batchKey(node, hash));
}

/** The KV documents beside a state, by key: `workloads` for people, `bytes` for readers. */
export function batchDocuments({ record }: Verified<NodeState>): Map<string, string> {
  const { batches, workloads = [] } = record;
  return new Map((batches?.bytes ?? []).map((bytes, i) => {
    const readable = inBatch(workloads, i).map(readableWorkload);
    return [batchKey(record.node, batches?.hashes[i] ?? ""), JSON.stringify({ v: 1, workloads: readable, bytes: Buffer.from(bytes).toString("base64") }, null, 1)];
  }));
}

interface BatchDocument {
  key: string;
  readable: unknown;
  bytes: Uint8Array;
}

function parseBatchDocument(value: Uint8Array, key: string): BatchDocument | Rejection {
  try {
    const { v, workloads, bytes } = JSON.parse(Buffer.from(value).toString("utf8")) as Record<string, unknown>;
    if (v === 1 && typeof bytes === "string") return { key, readable: workloads, bytes: Buffer.from(bytes, "base64") };
  } catch {
    // the same as another shape
  }
  return reject("incomplete", `${key} holds no batch of workloads`);
}

function inBatch(workloads: readonly Workload[], i: number): readonly Workload[] {
  return workloads.slice(i * BATCH_SIZE, (i + 1) * BATCH_SIZE);
}

function batchName(i: number): string {
  return `batch ${String(i + 1)} of the workloads`;
}
