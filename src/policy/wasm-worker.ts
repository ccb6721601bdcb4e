/** The worker of wasm-host.ts: compiles one module, then answers batches. What a module does, it does to this thread. */
import { parentPort, workerData } from "node:worker_threads";
import { AbiError, decodeVerdicts, encodeBatch } from "./wasm-abi.js";
import type { WasmCandidate, WasmVerdict } from "./wasm-candidate.js";
import type { WasmFault } from "./wasm-host.js";
import type { WasmProfile } from "./wasm-module.js";
import { OpaError, opaPolicy } from "./wasm-opa.js";

export interface WasmRequest {
  candidates: readonly WasmCandidate[];
}
export type WasmAnswer = { ok: true; verdicts: WasmVerdict[] } | { ok: false; fault: WasmFault; detail: string };

const { module: bytes, profile, memoryPages } = workerData as { module: Uint8Array<ArrayBuffer>; profile: WasmProfile; memoryPages: number };
let compiled: WebAssembly.Module | undefined;

parentPort?.on("message", ({ candidates }: WasmRequest) => parentPort?.postMessage(answer(candidates)));

function answer(candidates: readonly WasmCandidate[]): WasmAnswer {
  let evaluate: (candidates: readonly WasmCandidate[]) => WasmVerdict[];
  try {
    compiled ??= new WebAssembly.Module(bytes);
    evaluate = profile === "opa" ? opaPolicy(compiled, memoryPages) : ibrlPolicy(compiled);
  } catch (error) {
    return { ok: false, fault: "no-start", detail: messageOf(error) };
  }
  try {
    return { ok: true, verdicts: evaluate(candidates) };
  } catch (error) {
    return { ok: false, fault: error instanceof AbiError || error instanceof OpaError ? "bad-answer" : "trap", detail: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function ibrlPolicy(module: WebAssembly.Module): (candidates: readonly WasmCandidate[]) => WasmVerdict[] {
  const { memory, alloc, evaluate } = new WebAssembly.Instance(module).exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new Error("exports no memory called `memory`");
  if (typeof alloc !== "function") throw new Error("exports no function `alloc(len: i32) -> i32`");
  if (typeof evaluate !== "function") throw new Error("exports no function `evaluate(ptr: i32, len: i32) -> i64`");
  return (candidates) => {
    const batch = encodeBatch(candidates);
    const at = unsigned((alloc as (length: number) => unknown)(batch.length));
    if (at + batch.length > memory.buffer.byteLength) {
      throw new AbiError(`alloc gave ${String(at)} for ${String(batch.length)} bytes, in a memory of ${String(memory.buffer.byteLength)}`);
    }
    new Uint8Array(memory.buffer).set(batch, at);
    const result = (evaluate as (pointer: number, length: number) => unknown)(at, batch.length);
    if (typeof result !== "bigint") throw new AbiError("evaluate gives no i64: the pointer in its upper half, the length in its lower");
    const packed = BigInt.asUintN(64, result);
    return decodeVerdicts(new Uint8Array(memory.buffer), Number(packed >> 32n), Number(packed & 0xffff_ffffn), candidates.length);
  };
}

function unsigned(value: unknown): number {
  if (typeof value !== "number") throw new AbiError("alloc gives no i32");
  return value >>> 0;
}
