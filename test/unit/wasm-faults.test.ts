/**
 * Fault test 27, whole: a policy module that loops, grows its memory, traps, lacks an export, returns a bad pointer or
 * imports anything is refused or stopped within its budget, the next call works, this thread never waited for it, and in
 * enforce the answer is no: there is no decision, so that nothing can be placed by it.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { WasmEvaluator } from "../../src/policy/wasm-evaluator.js";
import { openPolicy } from "../../src/policy/open-policy.js";
import { candidate, decideOver, evaluator } from "../harness/candidates.js";
import { LOOP_FOREVER, type ModuleParts, onlyOne, OP, packed, wasmModule } from "../harness/wasm-bytes.js";

const LAG_MS = 100;
const TRIES = 10;
const ONE = [candidate(1)];
const TWO = [candidate(1), candidate(2)];
const growth = [OP.loop, 0x40, OP.i32, 1, OP.memoryGrow, 0, OP.drop, OP.br, 0, OP.end, OP.unreachable];
const recursion = [0x20, 0, 0x20, 1, OP.call, 1, 0x0f]; // evaluate(ptr, len), returned

const held: WasmEvaluator[] = [];
let lag: IntervalHistogram;
beforeEach(() => {
  lag = monitorEventLoopDelay({ resolution: 5 });
});
afterEach(async () => {
  lag.disable();
  await Promise.all(held.splice(0).map((policy) => policy.close()));
});
function policyOf(parts: ModuleParts, deadlineMs: number): { policy: WasmEvaluator; kills: () => number } {
  let killed = 0;
  const policy = new WasmEvaluator(wasmModule(parts), "faulty", { deadlineMs, observer: { evaluated: () => {}, killed: () => (killed += 1) } });
  held.push(policy);
  return { policy, kills: () => killed };
}

/**
 * The longest that this thread was held up while `work` ran, in the best of some tries: a machine may stall now and then,
 * but a module that holds this thread does so in every one.
 */
async function leastLagMs(work: () => Promise<unknown>): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < TRIES && least >= LAG_MS; i++) {
    lag.reset();
    lag.enable();
    await work();
    lag.disable();
    least = Math.min(least, lag.max / 1e6);
  }
  return least;
}

describe.each<[string, number[], string, number]>([
  ["loops", LOOP_FOREVER, "deadline", 300],
  ["grows its memory for ever", growth, "deadline", 300],
  ["traps", [OP.unreachable], "trap", 60_000],
  ["calls itself without end", recursion, "trap", 60_000],
  ["returns a pointer outside of its memory", [...packed(0xffff_fff0, 64), 0x0f], "bad-answer", 60_000],
])("a module that %s over two candidates", (_, body, fault, deadlineMs) => {
  test(`is stopped (${fault}); nobody is chosen, this thread went on, and the next call works`, async () => {
    const { policy, kills } = policyOf(onlyOne(body), deadlineMs);
    const decided = () => decideOver(TWO, { spawn: policy });
    expect(await leastLagMs(() => expect(decided()).rejects.toMatchObject({ name: "WasmPolicyError", fault }))).toBeLessThan(LAG_MS);
    expect(kills() > 0).toBe(fault === "deadline");
    await expect(decideOver(TWO, { cluster: policy, spawn: evaluator() })).rejects.toMatchObject({ fault }); // as the cluster's too
    // A slow machine may need longer than the short deadline to start a worker: each call has a fresh one after a fault.
    let next;
    for (let i = 0; i < TRIES && next === undefined; i++) next = await decideOver(ONE, { spawn: policy }).catch((error: unknown) => (String(error).includes("deadline") ? undefined : Promise.reject(error)));
    expect(next?.best(1)).toMatchObject([{ candidate: { node: "node-1" }, scorePpm: 500_000 }]);
    expect(next?.reasonsFor("node-1")?.[0]?.reasons.said).toEqual(["fine"]);
  }, 60_000);
});

test.each<[string, ModuleParts]>([
  ["lacks `evaluate`", { evaluate: null }],
  ["lacks `alloc`", { alloc: null }],
  ["keeps its memory to itself", { exportMemory: false }],
  ["loops when it starts", { start: LOOP_FOREVER }],
])("a module that %s never starts, at each call anew, and nobody is chosen", async (_, parts) => {
  const { policy } = policyOf(parts, parts.start === undefined ? 60_000 : 300);
  for (const _again of [1, 2]) {
    expect(await leastLagMs(() => expect(decideOver(TWO, { spawn: policy })).rejects.toMatchObject({ fault: parts.start === undefined ? "no-start" : "deadline" }))).toBeLessThan(LAG_MS);
  }
}, 60_000);

test.each<[string, ModuleParts]>([
  ["a function", { imports: [{ module: "env", name: "abort" }] }],
  ["the system's clock", { imports: [{ module: "wasi_snapshot_preview1", name: "clock_time_get" }] }],
  ["a memory", { memory: null, imports: [{ module: "js", name: "mem", kind: "memory" }] }],
])("a module that imports %s is refused before anything of it runs", (_, parts) => {
  expect(openPolicy(wasmModule(parts), "importer")).toEqual({ ok: false, problems: [{ path: "", message: expect.stringMatching(/imports \w+\.\w+; a policy imports nothing/) }] });
});
