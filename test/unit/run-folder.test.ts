import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identify, isSameProcess } from "../../src/dev/process-identity.js";
import { RunFolder } from "../../src/dev/run-folder.js";

let parent: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "run-folder-test-"));
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(parent, { recursive: true });
});

async function sleeper(env: NodeJS.ProcessEnv = {}): Promise<{ pid: number; exited: Promise<unknown[]> }> {
  const child = spawn("sleep", ["600"], { stdio: "ignore", env: { ...process.env, ...env } });
  children.push(child);
  await once(child, "spawn");
  return { pid: child.pid as number, exited: once(child, "exit") };
}

const gone = { pid: process.pid, startedAt: "another boot/1", command: "node" };

/** As a run leaves it that was killed with -9. */
function staleFolder(record: object): string {
  const path = join(parent, "run-abc");
  mkdirSync(path, { mode: 0o700 });
  writeFileSync(join(path, "run.json"), JSON.stringify(record));
  return path;
}

it("ends what it recorded, and removes itself", async () => {
  const folder = RunFolder.create("run", parent);
  const child = await sleeper();
  folder.record(child.pid);
  expect(folder.survivors()).toEqual([child.pid]);
  await folder.remove();
  expect(await child.exited).toEqual([null, "SIGKILL"]);
  expect(existsSync(folder.path)).toBe(false);
});

it("ends what its processes started themselves", async () => {
  const folder = RunFolder.create("run", parent);
  const child = await sleeper(folder.environment);
  expect(folder.survivors()).toEqual(process.platform === "linux" ? [child.pid] : []);
  await folder.remove();
});

describe("a folder whose owner is gone", () => {
  it("is removed, and its processes are ended", async () => {
    const child = await sleeper();
    const path = staleFolder({ owner: gone, children: [identify(child.pid)] });
    expect(await RunFolder.cleanStale("run", parent)).toEqual([path]);
    expect(await child.exited).toEqual([null, "SIGKILL"]);
    expect(existsSync(path)).toBe(false);
  });

  it.each(["startedAt", "command"])("spares a process that has a recorded pid but another %s", async (field) => {
    const child = await sleeper();
    staleFolder({ owner: gone, children: [{ ...identify(child.pid), [field]: "other" }] });
    expect(await RunFolder.cleanStale("run", parent)).toHaveLength(1);
    expect(identify(child.pid)).not.toBeNull();
  });

  it("is left alone where others could have written it", async () => {
    const child = await sleeper();
    const path = staleFolder({ owner: gone, children: [identify(child.pid)] });
    chmodSync(path, 0o777);
    expect(await RunFolder.cleanStale("run", parent)).toEqual([]);
    expect(identify(child.pid)).not.toBeNull();
  });
});

it("a folder whose owner runs is left alone", async () => {
  const folder = RunFolder.create("run", parent);
  expect(await RunFolder.cleanStale("run", parent)).toEqual([]);
  expect(existsSync(folder.path)).toBe(true);
  await folder.remove();
});

it("a process is the same only while it runs", async () => {
  const child = await sleeper();
  const recorded = identify(child.pid);
  if (recorded === null) throw new Error("it runs");
  expect(isSameProcess(recorded)).toBe(true);
  process.kill(child.pid, "SIGKILL");
  await child.exited;
  expect(isSameProcess(recorded)).toBe(false);
});
