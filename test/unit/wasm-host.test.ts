/** WebAssembly policies that run, and those that do their worst (fault test 27): the next call works, and time goes on. */
import type { WasmCandidate } from "../../src/policy/wasm-candidate.js";
import { type WasmFault, WasmHost, WasmPolicyError } from "../../src/policy/wasm-host.js";
import { LOOP_FOREVER, type ModuleParts, OP, packed, wasmModule } from "../harness/wasm-bytes.js";

const CANDIDATES: WasmCandidate[] = [
  { node: "node-1", datacenter: "dc1", verified: true, alive: true, latencyUs: 420, latencySource: "measured", capabilities: ["container", "gpu-h100"] },
  { node: "node-2", datacenter: "dc1", verified: false, capabilities: [] },
];
const hosts: WasmHost[] = [];
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
});

function hostOf(parts: ModuleParts, deadlineMs = 20_000): { host: WasmHost; ends: (WasmFault | undefined)[]; kills: () => number } {
  const ends: (WasmFault | undefined)[] = [];
  let killed = 0;
  const observer = { evaluated: (_: number, fault: WasmFault | undefined) => ends.push(fault), killed: () => (killed += 1) };
  const host = new WasmHost(wasmModule(parts), { deadlineMs, observer });
  hosts.push(host);
  return { host, ends, kills: () => killed };
}

const faultOf = (work: Promise<unknown>): Promise<[WasmFault, string]> =>
  work.then(
    () => { throw new Error("it gave verdicts"); },
    (error: unknown) => {
      if (!(error instanceof WasmPolicyError)) throw error;
      return [error.fault, error.message] as [WasmFault, string];
    },
  );

const recursion = [OP.i32, 0, OP.i32, 0, OP.call, 1];
const growth = [OP.loop, 0x40, OP.i32, 1, OP.memoryGrow, 0, OP.drop, OP.br, 0, OP.end, OP.unreachable];

test.each<[string, ModuleParts, WasmFault, RegExp]>([
  ["traps", { evaluate: [OP.unreachable] }, "trap", /unreachable/],
  ["calls itself without end", { evaluate: recursion }, "trap", /call stack/],
  ["lacks evaluate", { evaluate: null }, "no-start", /evaluate\(ptr: i32, len: i32\) -> i64/],
  ["lacks alloc", { alloc: null }, "no-start", /alloc\(len: i32\)/],
  ["does not export its memory", { exportMemory: false }, "no-start", /no memory called `memory`/],
  ["does not compile", { evaluate: [OP.drop] }, "no-start", /Compiling function/],
  ["traps when it starts", { start: [OP.unreachable] }, "no-start", /unreachable/],
  ["allocates outside of its memory", { alloc: [OP.i32, 0x7f] }, "bad-answer", /alloc gave 4294967295/],
  ["answers with a pointer outside of its memory", { evaluate: packed(0xffff_fff0, 64) }, "bad-answer", /64 bytes at 4294967280/],
  ["answers with fewer verdicts than candidates", { evaluate: packed(0, 8) }, "bad-answer", /2 verdicts need 56/],
  ["answers with what it never wrote", { evaluate: packed(0, 56) }, "bad-answer", /ABI version 0/],
])("a policy that %s: the error says so, and the next call finds a fresh worker", async (_, parts, fault, said) => {
  const { host, ends, kills } = hostOf(parts);
  for (const _again of [1, 2]) expect(await faultOf(host.evaluate(CANDIDATES))).toEqual([fault, expect.stringMatching(said)]);
  expect({ ends, kills: kills() }).toEqual({ ends: [fault, fault], kills: 0 });
});

test.each([
  ["loops", { evaluate: LOOP_FOREVER }],
  ["loops when it starts", { start: LOOP_FOREVER }],
  ["grows its memory for ever", { evaluate: growth }],
])("a policy that %s is ended at its deadline, and this thread never waited for it", async (_, parts) => {
  const { host, kills } = hostOf(parts, 300);
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 10);
  expect((await faultOf(host.evaluate(CANDIDATES)))[0]).toBe("deadline");
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(3); // of some 30; a blocked thread has none
  expect(kills()).toBe(1);
  expect((await faultOf(host.evaluate(CANDIDATES)))[0]).toBe("deadline");
});

test("a module that may not run is refused before a worker starts", () => {
  expect(() => new WasmHost(wasmModule({ memory: { min: 1 } }))).toThrow(expect.objectContaining({ fault: "refused" }));
});
