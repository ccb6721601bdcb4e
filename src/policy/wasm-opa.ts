/**
 * Profile `opa`: a module of `opa build -t wasm -e ibrl/verdicts`, after Open Policy Agent's WebAssembly ABI 1.2 (its
 * docs, "Integrating with OPA via WebAssembly"). In: JSON `{version: 1, candidates: [WasmCandidate]}`; out of the
 * entrypoint: an array of `{pass, score_ppm, reason}`, one for each candidate, in their order. Builtins that the module
 * does not bring itself are refused by name: they would be code of the host's.
 */
import { ABI_VERSION, AbiError, MAX_SCORE_PPM } from "./wasm-abi.js";
import type { WasmCandidate, WasmVerdict } from "./wasm-candidate.js";

/** `opa_abort`: the policy gave up, with its own words. */
export class OpaError extends Error {
  override readonly name = "OpaError";
}

interface OpaExports {
  opa_malloc(bytes: number): number;
  opa_json_parse(at: number, length: number): number;
  opa_json_dump(value: number): number;
  opa_heap_ptr_get(): number;
  opa_eval(reserved: 0, entrypoint: number, data: number, input: number, inputBytes: number, heap: number, format: 0): number;
  builtins(): number;
  entrypoints(): number;
}
const NEEDED = ["opa_malloc", "opa_json_parse", "opa_json_dump", "opa_heap_ptr_get", "opa_eval", "builtins", "entrypoints"];
/** Of an answer in the module's memory; it ends with a NUL. */
const MAX_TEXT_BYTES = 8 * 1024 * 1024;
const INITIAL_PAGES = 32;
const ENTRYPOINT = "ibrl/verdicts";
const MAX_REASON_LENGTH = 256;

export function opaPolicy(module: WebAssembly.Module, memoryPages: number): (candidates: readonly WasmCandidate[]) => WasmVerdict[] {
  const memory = new WebAssembly.Memory({ initial: Math.min(INITIAL_PAGES, memoryPages), maximum: memoryPages });
  const text = (at: number): string => textAt(memory, at);
  const env = {
    memory,
    opa_abort: (at: number): never => {
      throw new OpaError(`opa_abort: ${text(at)}`);
    },
    opa_println: () => 0,
    ...Object.fromEntries([0, 1, 2, 3, 4].map((arity) => [`opa_builtin${String(arity)}`, () => fail("calls a builtin of the host")])),
  };
  const found = new WebAssembly.Instance(module, { env }).exports;
  for (const name of NEEDED) if (typeof found[name] !== "function") throw new Error(`exports no function \`${name}\`: not made by opa build`);
  const opa = found as unknown as OpaExports;

  const builtins = Object.keys(JSON.parse(text(opa.opa_json_dump(opa.builtins()))) as object);
  if (builtins.length > 0) throw new Error(`needs builtins of its host: ${builtins.join(", ")}`);
  const entrypoint = (JSON.parse(text(opa.opa_json_dump(opa.entrypoints()))) as Record<string, number>)[ENTRYPOINT];
  if (entrypoint === undefined) throw new Error(`has no entrypoint ${ENTRYPOINT} (opa build -e ${ENTRYPOINT})`);

  const put = (json: string): { at: number; length: number } => {
    const bytes = Buffer.from(json);
    const at = opa.opa_malloc(bytes.length);
    new Uint8Array(memory.buffer).set(bytes, at);
    return { at, length: bytes.length };
  };
  return (candidates) => {
    const none = put("{}");
    const data = opa.opa_json_parse(none.at, none.length);
    const input = put(JSON.stringify({ version: ABI_VERSION, candidates }));
    const answer = text(opa.opa_eval(0, entrypoint, data, input.at, input.length, opa.opa_heap_ptr_get(), 0));
    return readAnswer(answer, candidates.length);
  };
}

function readAnswer(json: string, count: number): WasmVerdict[] {
  const results = JSON.parse(json) as { result: unknown }[];
  const verdicts = results[0]?.result;
  if (!Array.isArray(verdicts)) throw new AbiError(`${ENTRYPOINT} is undefined or no array for this input`);
  if (verdicts.length !== count) throw new AbiError(`${ENTRYPOINT} gave ${String(verdicts.length)} verdicts for ${String(count)} candidates`);
  return verdicts.map((verdict: unknown) => {
    const { pass, score_ppm: scorePpm, reason } = (verdict ?? {}) as Record<string, unknown>;
    if (typeof pass !== "boolean") throw new AbiError("a verdict's `pass` is neither true nor false");
    if (!Number.isInteger(scorePpm) || (scorePpm as number) < 0 || (scorePpm as number) > MAX_SCORE_PPM) throw new AbiError(`a verdict's \`score_ppm\` takes an integer from 0 to ${String(MAX_SCORE_PPM)}`);
    if (typeof reason !== "string") throw new AbiError("a verdict's `reason` is no text");
    return { pass, scorePpm: scorePpm as number, reason: reason.slice(0, MAX_REASON_LENGTH) };
  });
}

function textAt(memory: WebAssembly.Memory, at: number): string {
  const bytes = new Uint8Array(memory.buffer, at >>> 0);
  const length = bytes.subarray(0, MAX_TEXT_BYTES).indexOf(0);
  if (length < 0) throw new AbiError("a text of the module has no end");
  return Buffer.from(bytes.subarray(0, length)).toString("utf8");
}

function fail(what: string): never {
  throw new OpaError(what);
}
