/** Whether a workload has to move: each cause, the waiting that keeps an exclusive one single, and the end of trying. */
import type { Placed } from "../../src/sidecar/job-meta.js";
import type { JobAllocation } from "../../src/sidecar/nomad-jobs.js";
import { isUnderWay, LASTING_MS, MAX_MOVES, type Situation, verdictOf } from "../../src/sidecar/placement/trouble.js";

const NOW_MS = 1_000_000_000;
const placed: Placed = { node: "node-1", atMs: NOW_MS - 3_600_000, moves: 0, tried: [], stopAfterMs: 30_000, killMs: 5_000 };
const allocation = (clientStatus: string): JobAllocation => ({
  id: "a", jobId: "j", namespace: "default", nodeId: "n", nodeName: "n", taskGroup: "work", jobVersion: 0, clientStatus, desiredStatus: "run", createdAtMs: NOW_MS - 60_000, modifiedAtMs: NOW_MS - 1_000, tasks: new Map(),
});
const verdict = (more: Partial<Situation> = {}) =>
  verdictOf({ placed, allowOverlap: false, allocations: [allocation("running")], consul: "alive", breaksPolicy: false, betterAfterMs: undefined, silence: undefined, nowMs: NOW_MS, ...more });
const silent = (forMs: number, shortestStopMs?: number) => ({ silence: { forMs, shortestStopMs } });

test.each<[string, Partial<Situation>]>([
  ["it runs", {}],
  ["it is on its way", { allocations: [allocation("pending")] }],
  ["Nomad has made no allocation yet", { allocations: [], placed: { ...placed, atMs: NOW_MS - 2_000 } }],
  ["a dead Nomad agent is not a dead workload", silent(3_600_000)],
  ["nor is what Nomad calls lost, while Consul calls the node alive: Nomad starts it there again", { allocations: [allocation("lost")], ...silent(3_600_000) }],
])("fine: %s", (_, more) => {
  expect(verdict(more)).toEqual({ state: "fine" });
  expect(verdict({ ...more, allowOverlap: true })).toEqual({ state: "fine" });
});

test.each<[string, Partial<Situation>, string]>([
  ["its client says that it failed", { allocations: [allocation("failed"), allocation("running")] }, "failed"],
  ["its client says that it was stopped there, as by a drain", { allocations: [allocation("complete")] }, "stopped"],
  ["Nomad makes no allocation", { allocations: [] }, "unplaced"],
  ["its node breaks its policy", { breaksPolicy: true }, "policy"],
  ["its node left Consul, and Nomad can end the old copy", { consul: "left" }, "node-left"],
])("now, and after the old copy, if there is one: %s", (_, more, cause) => {
  expect(verdict(more)).toEqual({ state: "move", cause, apart: false, movesBefore: 0 });
  expect(verdict({ ...more, allowOverlap: true })).toEqual({ state: "move", cause, apart: true, movesBefore: 0 });
});

test("a failed node: overlap moves at Consul's word, exclusive when its client must have ended the old copy", () => {
  const failed = (more: Partial<Situation>) => verdict({ consul: "failed", ...more });
  expect(failed({ allowOverlap: true })).toEqual({ state: "move", cause: "node-failed", apart: true, movesBefore: 0 });
  // Nomad still hears its client: Consul's agent alone is dead, and the workload is not.
  expect(failed({})).toEqual({ state: "wait", cause: "node-failed" });
  // 30 s until the client ends it, 5 s for the kill, 2 s under way.
  const wait = (forMs: number) => ({ state: "wait", cause: "node-failed", forMs });
  const move = { state: "move", cause: "node-failed", apart: true, movesBefore: 0 };
  expect(failed(silent(20_000))).toEqual(wait(17_000));
  expect(failed(silent(36_999))).toEqual(wait(1));
  expect(failed(silent(37_000))).toEqual(move);
  expect(failed(silent(37_000, 30_000))).toEqual(move);
  expect(failed({ ...silent(37_000), placed: { ...placed, stopAfterMs: 31_000 } })).toEqual(wait(1_000));
  expect(failed({ ...silent(37_000), placed: { ...placed, killMs: 30_000 } })).toEqual(wait(25_000));
  // Another's shorter time makes the client late with ours.
  expect(failed(silent(66_999, 29_000))).toEqual(wait(1));
  expect(failed(silent(67_000, 29_000))).toEqual(move);
  expect(verdict({ consul: "left", ...silent(36_999) })).toEqual({ state: "wait", cause: "node-left", forMs: 1 });
});

test("moves are further and further apart, and end after a few, for good; a copy that lasted makes them count anew", () => {
  const after = (moves: number, ms: number, lastedMs = 2_000) => {
    const newest = { ...allocation("failed"), createdAtMs: NOW_MS - 3_600_000, modifiedAtMs: NOW_MS - 3_600_000 + lastedMs };
    return verdict({ allocations: [newest], placed: { ...placed, moves, atMs: NOW_MS - ms } });
  };
  expect(after(0, 2_999).state).toBe("wait"); // who spawned it is at it
  expect(after(0, 3_000).state).toBe("move");
  for (let moves = 1; moves < MAX_MOVES; moves += 1) {
    expect([after(moves, 1_000 * 2 ** moves - 1).state, after(moves, 1_000 * 2 ** moves)]).toEqual(["wait", { state: "move", cause: "failed", apart: false, movesBefore: moves }]);
  }
  expect(after(MAX_MOVES, 365 * 24 * 3_600_000)).toEqual({ state: "stuck", cause: "failed" });
  expect(after(MAX_MOVES, 3_600_000, LASTING_MS)).toMatchObject({ state: "move", movesBefore: 0 });
  expect(verdict({ consul: "failed", allowOverlap: true, placed: { ...placed, moves: MAX_MOVES } })).toMatchObject({ state: "stuck" });
});

test("for a policy's sake only what runs is moved, on a node that is alive, and once in five minutes", () => {
  const broken = (more: Partial<Situation>) => verdict({ breaksPolicy: true, ...more });
  expect(broken({ allocations: [allocation("pending")] })).toEqual({ state: "fine" });
  expect(broken({ allocations: [allocation("failed")] })).toMatchObject({ cause: "failed" });
  expect(broken({ consul: "failed" })).toEqual({ state: "wait", cause: "node-failed" });
  const moved = (msAgo: number) => broken({ allocations: [{ ...allocation("running"), createdAtMs: NOW_MS - msAgo }], placed: { ...placed, moves: 1, atMs: NOW_MS - msAgo } });
  expect(moved(LASTING_MS - 1)).toEqual({ state: "wait", cause: "policy" });
  expect(moved(LASTING_MS)).toEqual({ state: "move", cause: "policy", apart: false, movesBefore: 0 });
});

test("for a better node: what runs, on a node that keeps the policy, after the cool-down, and once in five minutes; it is never stuck for it", () => {
  const at = (msAgo: number, more: Partial<Situation> = {}, moves = 0) => verdict({ betterAfterMs: 600_000, placed: { ...placed, moves, atMs: NOW_MS - msAgo }, ...more });
  expect(at(600_000)).toEqual({ state: "move", cause: "rebalance", apart: false, movesBefore: 0 });
  expect(at(600_000, { allowOverlap: true })).toMatchObject({ apart: true });
  expect(at(599_999)).toEqual({ state: "wait", cause: "rebalance" });
  expect(at(LASTING_MS - 1, { betterAfterMs: 0 }, MAX_MOVES)).toEqual({ state: "wait", cause: "rebalance" });
  expect(at(LASTING_MS, { betterAfterMs: 0 }, MAX_MOVES)).toMatchObject({ state: "move", movesBefore: 0 });
  expect(at(600_000, { breaksPolicy: true })).toMatchObject({ cause: "policy" });
  expect(at(600_000, { allocations: [allocation("pending")] })).toEqual({ state: "fine" });
});

test("a move is under way until the new copy runs, or for a minute", () => {
  const moved = { ...placed, moves: 1, atMs: NOW_MS - 59_999 };
  const underWay = (more: Partial<Situation>) => isUnderWay({ placed: moved, allocations: [allocation("pending")], nowMs: NOW_MS, ...more });
  expect([underWay({}), underWay({ allocations: [] })]).toEqual([true, true]);
  expect([underWay({ allocations: [allocation("running")] }), underWay({ placed: { ...moved, atMs: NOW_MS - 60_000 } }), underWay({ placed: { ...moved, moves: 0 } })]).toEqual([false, false, false]);
});
