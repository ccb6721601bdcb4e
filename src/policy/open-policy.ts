/** Bytes to an Evaluator, whichever kind of policy they are: what begins as WebAssembly does is a module, all else a file. */
import { JsonEvaluator } from "./json-evaluator.js";
import { readPolicy } from "./policy-file.js";
import type { Problem } from "./read-fields.js";
import { WasmEvaluator } from "./wasm-evaluator.js";
import { type WasmHostOptions, WasmPolicyError } from "./wasm-host.js";

const WASM_MAGIC = Buffer.from("\0asm");

export type OpenedPolicy =
  | { ok: true; evaluator: JsonEvaluator | WasmEvaluator; warnings: readonly Problem[] }
  | { ok: false; problems: readonly Problem[] };

/** Never throws, and runs nothing. `name` is a module's, which cannot say its own. */
export function openPolicy(bytes: Uint8Array, name: string, wasm: Partial<WasmHostOptions> = {}): OpenedPolicy {
  if (Buffer.compare(bytes.subarray(0, WASM_MAGIC.length), WASM_MAGIC) !== 0) {
    const read = readPolicy(bytes);
    return read.ok ? { ok: true, evaluator: new JsonEvaluator(read.file), warnings: read.file.warnings } : read;
  }
  try {
    return { ok: true, evaluator: new WasmEvaluator(bytes, name, wasm), warnings: [] };
  } catch (error) {
    if (!(error instanceof WasmPolicyError)) throw error;
    return { ok: false, problems: [{ path: "", message: `is WebAssembly that may not run: ${error.detail}` }] };
  }
}
