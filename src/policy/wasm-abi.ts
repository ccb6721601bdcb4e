/**
 * The bytes between the host and a policy of profile `ibrl`, version 1: one batch of candidates in, one verdict for each
 * out. Little-endian integers in the units of the signed records, so that C and AssemblyScript read them in place;
 * unknown is -1. docs/policy-wasm.md is the same for authors.
 *
 *   in    u32 version, u32 count, u32 recordBytes (112), u32 0; count records; texts
 *   out   u32 version, u32 count;  count of { u32 pass (0 or 1), u32 reason offset, u32 reason bytes, u32 0, i64 score (0 to 1,000,000) }
 */
import { toBits } from "../beacon/capabilities.js";
import type { WasmCandidate, WasmVerdict } from "./wasm-candidate.js";

export const ABI_VERSION = 1;
/** As in a policy file: a score is 0 to 1. */
export const MAX_SCORE_PPM = 1_000_000;
const HEADER_BYTES = 16;
const RECORD_BYTES = 112;
const RESULT_HEADER_BYTES = 8;
const RESULT_BYTES = 24;
/** Of a reason; what is longer is cut: a page of text is no reason. */
const MAX_REASON_BYTES = 256;

const FLAG = { verified: 1, alive: 2, latencyMeasured: 4 } as const;

export function encodeBatch(candidates: readonly WasmCandidate[]): Uint8Array {
  const texts = candidates.map(({ node, datacenter, capabilities }) => [node, datacenter, capabilities.join("\n")].map((text) => Buffer.from(text)));
  const textBytes = texts.flat().reduce((sum, text) => sum + text.length, 0);
  const batch = Buffer.alloc(HEADER_BYTES + candidates.length * RECORD_BYTES + textBytes);
  batch.writeUInt32LE(ABI_VERSION, 0);
  batch.writeUInt32LE(candidates.length, 4);
  batch.writeUInt32LE(RECORD_BYTES, 8);
  let textAt = HEADER_BYTES + candidates.length * RECORD_BYTES;
  candidates.forEach((candidate, index) => {
    let at = HEADER_BYTES + index * RECORD_BYTES;
    for (const value of figuresOf(candidate)) at = batch.writeBigInt64LE(value, at);
    for (const text of texts[index] ?? []) {
      at = batch.writeUInt32LE(textAt, at);
      at = batch.writeUInt32LE(text.length, at);
      textAt += text.copy(batch, textAt);
    }
  });
  return batch;
}

/** In the order of the record. */
function figuresOf(candidate: WasmCandidate): bigint[] {
  const { latencyUs, jitterUs, lossPpm, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, workloads } = candidate;
  const known = [latencyUs, jitterUs, lossPpm, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, workloads];
  const flags =
    (candidate.verified ? FLAG.verified : 0) | (candidate.alive === true ? FLAG.alive : 0) | (candidate.latencySource === "measured" ? FLAG.latencyMeasured : 0);
  return [...known.map((value) => (value === undefined ? -1n : BigInt(value))), BigInt(toBits(candidate.capabilities).bits), BigInt(flags), 0n];
}

export class AbiError extends Error {
  override readonly name = "AbiError";
}

/** `memory` is the module's own; `pointer` and `length` are its word, so everything is checked. Throws AbiError. */
export function decodeVerdicts(memory: Uint8Array, pointer: number, length: number, count: number): WasmVerdict[] {
  const expected = RESULT_HEADER_BYTES + count * RESULT_BYTES;
  if (length < expected || pointer + length > memory.length) {
    throw new AbiError(`evaluate gave ${String(length)} bytes at ${String(pointer)} of a memory of ${String(memory.length)}; ${String(count)} verdicts need ${String(expected)}`);
  }
  const result = Buffer.from(memory.slice(pointer, pointer + length));
  const [version, given] = [result.readUInt32LE(0), result.readUInt32LE(4)];
  if (version !== ABI_VERSION) throw new AbiError(`evaluate answered in ABI version ${String(version)}; this is version ${String(ABI_VERSION)}`);
  if (given !== count) throw new AbiError(`evaluate gave ${String(given)} verdicts for ${String(count)} candidates`);
  return Array.from({ length: count }, (_, index) => readVerdict(result, RESULT_HEADER_BYTES + index * RESULT_BYTES));
}

function readVerdict(result: Buffer, at: number): WasmVerdict {
  const [pass, reasonAt, reasonBytes] = [result.readUInt32LE(at), result.readUInt32LE(at + 4), result.readUInt32LE(at + 8)];
  if (pass > 1) throw new AbiError(`a verdict of ${String(pass)} is neither 0 nor 1`);
  if (reasonAt + reasonBytes > result.length) throw new AbiError("a reason lies outside of the result");
  const score = result.readBigInt64LE(at + 16);
  if (score < 0n || score > BigInt(MAX_SCORE_PPM)) throw new AbiError(`a score of ${String(score)} millionths; it takes 0 to ${String(MAX_SCORE_PPM)}`);
  return {
    pass: pass === 1,
    scorePpm: Number(score),
    reason: result.toString("utf8", reasonAt, reasonAt + Math.min(reasonBytes, MAX_REASON_BYTES)),
  };
}
