/** What a placer signs of the nodes that it placed work on, and which moves it counts. */
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import type { JobAllocation } from "../../src/sidecar/nomad-jobs.js";
import { MoveOutcomes } from "../../src/sidecar/placement/move-outcomes.js";
import { LASTING_MS } from "../../src/sidecar/placement/trouble.js";
import type { MoveCause } from "../../src/sidecar/workload-moves.js";
import { WorkOutcomes } from "../../src/sidecar/work-outcomes.js";
import { keyOf } from "../harness/links.js";
import { state } from "../harness/records.js";

const DAY_MS = 86_400_000;
const sorted = (...seeds: number[]) => seeds.map(keyOf).sort();

describe("a placer", () => {
  let monoMs: number;
  let outcomes: WorkOutcomes;
  beforeEach(() => {
    monoMs = 1_000;
    const keys = new Map([1, 2, 3].map((seed) => [`node-${String(seed)}`, keyOf(seed)]));
    outcomes = new WorkOutcomes((node) => keys.get(node), () => keyOf(3), { monoMs: () => monoMs });
  });
  const of = (seed: number) => outcomes.list().find(({ peerKey }) => peerKey === keyOf(seed));

  test("counts what ran, and what failed before it ran elsewhere, each node once", () => {
    outcomes.ran("node-2", ["node-1", "node-1"]);
    outcomes.ran("node-2", []);
    expect(outcomes.list().map(({ peerKey }) => peerKey)).toEqual(sorted(1, 2));
    expect([of(1), of(2)]).toEqual([{ peerKey: keyOf(1), ran: 0, failed: 1 }, { peerKey: keyOf(2), ran: 2, failed: 0 }]);
  });

  test("says nothing of itself, nor of nodes that it does not believe", () => {
    outcomes.ran("node-3", ["node-9"]);
    expect(outcomes.list()).toEqual([]);
  });

  test("forgets after a day, and after 64 of one node", () => {
    outcomes.ran("node-2", ["node-1"]);
    monoMs += DAY_MS;
    for (let i = 0; i < 64; i += 1) outcomes.ran("node-1", []);
    expect(of(1)).toEqual({ peerKey: keyOf(1), ran: 64, failed: 0 });
    expect(of(2)).toBeDefined();
    monoMs += 1;
    expect(of(2)).toBeUndefined();
  });
});

describe("a mover", () => {
  let told: [string, readonly string[]][];
  let moves: MoveOutcomes;
  beforeEach(() => {
    told = [];
    moves = new MoveOutcomes({ ran: (node, insteadOf) => void told.push([node, insteadOf]) });
  });
  const copy = (clientStatus: string): JobAllocation => ({ clientStatus, createdAtMs: 0 }) as JobAllocation;
  const at = (node: string | undefined, clientStatus = "running") => () => ({ node, allocations: [copy(clientStatus)] });

  test.each<MoveCause>(["failed", "unplaced", "node-failed"])("%s counts once the copy has lasted elsewhere", (cause) => {
    moves.moved("web", cause, "a", "b");
    moves.look(at("b"), LASTING_MS - 1);
    moves.look(at("b", "pending"), LASTING_MS);
    expect(told).toEqual([]);
    moves.look(at("b"), LASTING_MS);
    moves.look(at("b"), LASTING_MS);
    expect(told).toEqual([["b", ["a"]]]);
  });

  test("a workload that lasts nowhere is held against nobody; where it lasts in the end, against all before", () => {
    moves.moved("web", "failed", "a", "b");
    moves.look(at("b"), 1_000);
    moves.moved("web", "failed", "b", "c");
    expect(told).toEqual([]);
    moves.look(at("c"), LASTING_MS);
    expect(told).toEqual([["c", ["a", "b"]]]);
  });

  test.each<MoveCause>(["stopped", "node-left", "policy", "rebalance"])("%s says nothing against a node", (cause) => {
    moves.moved("web", cause, "a", "b");
    moves.look(at("b"), LASTING_MS);
    expect(told).toEqual([]);
  });

  test("what was stopped, or moved by another mover, is no longer this one's to tell", () => {
    for (const node of [undefined, "c"]) {
      moves.moved("web", "failed", "a", "b");
      moves.look(at(node), LASTING_MS);
      moves.look(at("b"), LASTING_MS);
    }
    expect(told).toEqual([]);
  });
});

describe("in a state", () => {
  const outcome = (seed: number, ran = 1, failed = 2) => ({ peerKey: keyOf(seed), ran, failed });

  test("they survive encoding", () => {
    const workOutcomes = [outcome(1), outcome(2)].sort((a, b) => (a.peerKey < b.peerKey ? -1 : 1));
    expect(decodeState(encodeState(state({ workOutcomes })))).toEqual(state({ workOutcomes }));
  });

  test.each<[string, { peerKey: string; ran: number; failed: number }[]]>([
    ["nothing said", [outcome(1, 0, 0)]],
    ["one key twice", [outcome(1), outcome(1)]],
    ["another order", [outcome(1), outcome(2)].sort((a, b) => (a.peerKey < b.peerKey ? 1 : -1))],
    ["half a key", [{ ...outcome(1), peerKey: keyOf(1).slice(32) }]],
    ["a count that does not fit", [outcome(1, 2 ** 32)]],
  ])("%s is refused", (_, workOutcomes) => {
    expect(() => encodeState(state({ workOutcomes }))).toThrow(/work_outcomes/);
  });
});
