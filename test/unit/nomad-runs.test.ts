/** Nomad's allocations and their usage as proofs read them: shapes seen on 1.10.5. */
import { decodeRuns, decodeUsage } from "../../src/sidecar/nomad/decode-runs.js";

const job = { ID: "web", Version: 3, ModifyIndex: 12, Status: "running", Meta: null, TaskGroups: [{ Name: "g", Tasks: [{ Name: "b", Driver: "raw_exec" }, { Name: "a", Driver: "exec" }] }] };
const state = {
  State: "dead", Failed: true, Restarts: 1, StartedAt: "2026-11-24T10:00:00.5Z", FinishedAt: "2026-11-24T10:00:09.25Z",
  Events: [{ Type: "Started", Time: 1_795_514_400_500_000_000, ExitCode: 0, Signal: 0 }, { Type: "Terminated", Time: 1_795_514_409_250_000_000, ExitCode: 137, Signal: 9 }],
};
const allocation = { ID: "0a9b4c8d-0000-4000-8000-112233445566", JobID: "web", Namespace: "default", TaskGroup: "g", ClientStatus: "failed", Job: job, TaskStates: { a: state } };

test("a run: its tasks' times, events and exit codes", () => {
  expect(decodeRuns([allocation])).toEqual([{
    id: allocation.ID, jobId: "web", namespace: "default", taskGroup: "g", jobVersion: 3, jobHash: expect.stringMatching(/^[0-9a-f]{64}$/), driver: "exec,raw_exec", clientStatus: "failed",
    tasks: [{
      name: "a", restarts: 1, startedAtMs: Date.parse(state.StartedAt), finishedAtMs: Date.parse(state.FinishedAt),
      events: [{ type: "Started", atNs: 1_795_514_400_500_000_000 }, { type: "Terminated", atNs: 1_795_514_409_250_000_000, exitCode: 137, signal: 9 }],
    }],
  }]);
});

test("the job's hash is of what was submitted: not of the servers' counts, nor of the order of the keys", () => {
  const hashOf = (changed: object): string | undefined => decodeRuns([{ ...allocation, Job: changed }])[0]?.jobHash;
  const { TaskGroups, ...rest } = job;
  expect(hashOf({ TaskGroups, ...rest, ModifyIndex: 99, Status: "dead", Version: 4, Stable: true })).toBe(hashOf(job));
  expect(hashOf({ ...job, Meta: { a: "b" } })).not.toBe(hashOf(job));
});

test.each([null, "0001-01-01T00:00:00Z", undefined])("one that never started (%s) did not run", (StartedAt) => {
  expect(decodeRuns([{ ...allocation, TaskStates: { a: { ...state, StartedAt } } }, { ...allocation, TaskStates: null }])).toEqual([]);
});

const usage = (cpu: object, memory: object) => decodeUsage({ ResourceUsage: { CpuStats: cpu, MemoryStats: memory }, Tasks: {}, Timestamp: 0 });
test("figures count where Nomad lists them as measured: a zero that it does not is unknown", () => {
  expect(usage({ Measured: ["System Mode", "Percent"], Percent: 12.5 }, { Measured: ["RSS", "Swap"], RSS: 4_096, Usage: 0 })).toEqual({ cpuPpm: 125_000, memoryBytes: 4_096 });
  expect(usage({ Measured: ["Percent"], Percent: 0 }, { Measured: ["Cache", "Usage"], RSS: 0, Usage: 8_192 })).toEqual({ cpuPpm: 0, memoryBytes: 8_192 });
  expect(usage({ Measured: null, Percent: 0 }, { Measured: null, RSS: 0, Usage: 0 })).toEqual({});
});

test.each([[[{ ...allocation, Job: null }]], [[{ ...allocation, TaskStates: { a: { ...state, Restarts: -1 } } }]], [{}]])("what is not Nomad's is refused: %j", (value) => {
  expect(() => decodeRuns(value)).toThrow();
});
