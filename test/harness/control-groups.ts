/** Control groups of what a test boots or runs in containers, in version 2 or the hierarchies of version 1. Root's only. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { CGROUP_ROOT, removeGroup } from "../../src/dev/nomad-leftovers.js";
import { waitFor } from "../../src/dev/readiness.js";

/** In many containers root may neither mount nor make groups. */
export async function whyNoControlGroups(): Promise<string | null> {
  try {
    await promisify(execFile)("unshare", ["--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "run", "/run"]);
    await promisify(execFile)("sh", ["-c", hierarchies().map((path) => `test -w ${path}`).join(" && ")]);
    return null;
  } catch (error) {
    return `root may not mount, or make control groups: ${(error as Error).message.trim()}`;
  }
}

/** Their roots: one in version 2. */
export function hierarchies(): string[] {
  if (existsSync(join(CGROUP_ROOT, "cgroup.procs"))) return [CGROUP_ROOT];
  return readdirSync(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name)).filter((path) => existsSync(join(path, "cgroup.procs")));
}

/** Those of this name, with all below. The kernel refuses while a process is dying in one. */
export async function removeGroups(name: string): Promise<void> {
  for (const path of hierarchies().map((hierarchy) => join(hierarchy, name))) {
    await waitFor(`end of the control group ${path}`, () => {
      if (existsSync(path)) removeGroup(path);
      return true;
    }, { timeoutMs: 10_000, everyMs: 50 });
  }
}
