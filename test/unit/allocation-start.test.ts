/** Whether an allocation has started, as its task events say it; and logs of many sources read no faster than somebody takes them. */
import type { JobAllocation } from "../../src/sidecar/nomad-jobs.js";
import { merged } from "../../src/sidecar/placement/merge.js";
import { startOf } from "../../src/sidecar/placement/start-of.js";

const allocation = (clientStatus: string, events: [string, string?][], desiredStatus = "run"): JobAllocation => ({
  id: "a", jobId: "j", namespace: "default", nodeId: "n", nodeName: "n", taskGroup: "work", jobVersion: 0, clientStatus, desiredStatus, createdAtMs: 0, modifiedAtMs: 0,
  tasks: new Map([["main", { state: "pending", failed: false, events: events.map(([type, message = ""]) => ({ type, message })) }]]),
});

test.each([
  ["running", [["Received"], ["Started"]], { state: "running" }],
  ["pending", [["Received"], ["Downloading Artifacts"]], { state: "pending" }],
  ["pending", [["Received"], ["Driver Failure", "no such image"]], { state: "failed", reason: "task main: Driver Failure: no such image" }],
  ["pending", [["Failed Artifact Download", "404"]], { state: "failed", reason: "task main: Failed Artifact Download: 404" }],
  // It ran, and Nomad restarts it: that is the restart policy's.
  ["running", [["Started"], ["Terminated"], ["Driver Failure"]], { state: "running" }],
  ["failed", [["Started"], ["Terminated", "Exit Code: 3"]], { state: "failed", reason: "the allocation is failed (task main: Exit Code: 3)" }],
  ["lost", [], { state: "failed", reason: "the allocation is lost" }],
] as [string, [string, string?][], object][])("%s with %j", (status, events, expected) => {
  expect(startOf(allocation(status, events))).toEqual(expected);
});

test("pending and told to stop is not on its way", () => {
  expect(startOf(allocation("pending", [], "stop"))).toEqual({ state: "failed", reason: "the allocation is pending" });
});

test("merged sources: everything arrives, at most one item of each waits, and leaving ends them", async () => {
  const made = { a: 0, b: 0 };
  const ended: string[] = [];
  async function* source(name: "a" | "b", count: number): AsyncGenerator<string> {
    try {
      for (; made[name] < count; ) yield `${name}${String(made[name]++)}`;
    } finally {
      ended.push(name);
    }
  }
  const all: string[] = [];
  for await (const item of merged([source("a", 3), source("b", 2)])) all.push(item);
  expect(all.sort()).toEqual(["a0", "a1", "a2", "b0", "b1"]);

  Object.assign(made, { a: 0, b: 0 });
  ended.length = 0;
  for await (const item of merged([source("a", 1_000_000), source("b", 1_000_000)])) if (item === "a2") break;
  await new Promise(setImmediate);
  expect(made.a).toBeLessThanOrEqual(5);
  expect(made.b).toBeLessThanOrEqual(5);
  expect(ended.sort()).toEqual(["a", "b"]);
});

test("a source that fails ends them all, with its error", async () => {
  async function* failing(): AsyncGenerator<string> {
    yield "first";
    throw new Error("gone");
  }
  async function* endless(): AsyncGenerator<string> {
    for (;;) {
      await new Promise(setImmediate);
      yield "more";
    }
  }
  const read = async () => {
    for await (const _ of merged([failing(), endless()]));
  };
  await expect(read()).rejects.toThrow("gone");
});
