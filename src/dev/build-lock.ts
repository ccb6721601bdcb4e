/**
 * So that two set-ups at once do not both build: a lock file that names its holder, believed while that process runs.
 * In the worst case (two waiters find a dead holder's lock in the same instant) both build, which costs time only:
 * the result is renamed into place whole.
 */
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { identify, isSameProcess, type ProcessIdentity } from "./process-identity.js";
import type { Progress } from "./progress.js";

const LOOK_EVERY_MS = 500;

export interface LockOptions {
  /** What the holder makes: when it is there after waiting, there is nothing left to do. */
  output: string;
  progress: Progress;
  signal?: AbortSignal;
}

/** Runs `build` as the only holder of `lockFile`; not at all where another holder made the output meanwhile. */
export async function withBuildLock(lockFile: string, { output, progress, signal }: LockOptions, build: () => Promise<void>): Promise<void> {
  let waited = false;
  while (!take(lockFile)) {
    const holder = readHolder(lockFile);
    if (holder === null || !isSameProcess(holder)) {
      rmSync(lockFile, { force: true });
      continue;
    }
    const step = progress.step(`Waiting for process ${holder.pid}, which is building the same`);
    while (existsSync(lockFile) && isSameProcess(holder)) await sleep(LOOK_EVERY_MS, undefined, signal ? { signal } : {});
    step.done("The other build has ended");
    waited = true;
  }
  try {
    if (!(waited && existsSync(output))) await build();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** A link appears with its content, so that nobody reads a lock without a holder. */
function take(lockFile: string): boolean {
  const mine = `${lockFile}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)));
  try {
    linkSync(mine, lockFile);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(mine);
  }
}

function readHolder(lockFile: string): ProcessIdentity | null {
  try {
    return JSON.parse(readFileSync(lockFile, "utf8")) as ProcessIdentity | null;
  } catch {
    return null; // gone meanwhile
  }
}
