/** Which modules may run as a policy, judged from their bytes (fault test 27). */
import fc from "fast-check";
import { inspectModule, OPA_IMPORTS, WASM_LIMITS } from "../../src/policy/wasm-module.js";
import { type ModuleParts, wasmModule } from "../harness/wasm-bytes.js";

const verdictOf = (parts: ModuleParts) => inspectModule(wasmModule(parts));

test("a memory with a maximum, and no import: profile ibrl", () => {
  expect(verdictOf({})).toEqual({ ok: true, profile: "ibrl" });
  expect(() => new WebAssembly.Module(Uint8Array.from(wasmModule()))).not.toThrow(); // what the tests write is WebAssembly
});

test.each<[string, ModuleParts, RegExp]>([
  ["a memory that may grow without end", { memory: { min: 1 } }, /a memory without a maximum.*--maximumMemory/],
  ["a memory that may grow over the cap", { memory: { min: 1, max: 257 } }, /up to 257 pages of 64 KiB; at most 256/],
  ["no memory", { memory: null }, /0 memories/],
  ["a shared memory", { memory: { min: 1, max: 2, flags: 3 } }, /shared or 64-bit/],
  ["a 64-bit memory", { memory: { min: 1, max: 2, flags: 5 } }, /shared or 64-bit/],
  ["a table that may grow without end", { table: { min: 1 } }, /a table without a maximum/],
  ["a table that may grow over the cap", { table: { min: 1, max: 65_537 } }, /table of up to 65537/],
  ["an import of ours", { imports: [{ module: "env", name: "abort" }] }, /imports env\.abort; .*--use abort=/],
  ["an import of the system", { imports: [{ module: "wasi_snapshot_preview1", name: "fd_write" }] }, /imports wasi_snapshot_preview1\.fd_write/],
  ["a memory of the host's, in profile ibrl", { imports: [{ module: "js", name: "memory", kind: "memory" }] }, /imports js\.memory/],
  ["what opa needs and one thing more", { memory: null, imports: [...OPA_IMPORTS, "read_file"].map((name) => ({ module: "env", name })) }, /env\.read_file/],
  ["opa's imports and a memory of its own", { imports: [{ module: "env", name: "opa_abort" }] }, /memory of its own/],
])("%s is refused", (_, parts, said) => {
  expect(verdictOf(parts)).toEqual({ ok: false, detail: expect.stringMatching(said) });
});

test("what opa build imports, and nothing else: profile opa", () => {
  expect(verdictOf({ memory: null, imports: [{ module: "env", name: "memory", kind: "memory" }, { module: "env", name: "opa_abort" }] })).toEqual({ ok: true, profile: "opa" });
});

test("a module over the size is refused before it is read", () => {
  const limits = { ...WASM_LIMITS, moduleBytes: 10 };
  expect(inspectModule(new Uint8Array(11), limits)).toEqual({ ok: false, detail: "the module is 11 bytes; at most 10" });
});

test("a module cut at any byte, and any other bytes, give a reason and no exception", () => {
  const whole = wasmModule({ table: { min: 1, max: 2 } });
  for (let length = 0; length < whole.length; length++) {
    const { ok } = inspectModule(whole.subarray(0, length));
    // Cut after the memory's section everything that is judged here has been seen; compiling it fails later.
    if (ok) expect(length).toBeGreaterThan(30);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => inspectModule(Uint8Array.from([...whole.subarray(0, 8), ...bytes])) !== undefined));
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
    const changed = Uint8Array.from(whole);
    changed[at] = byte;
    return typeof inspectModule(changed).ok === "boolean";
  }));
});
