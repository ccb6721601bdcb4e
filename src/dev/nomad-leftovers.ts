/**
 * What a Nomad client of root leaves in the kernel when it is killed: tmpfs mounts of each task's secrets, a
 * control group of each task, and the network of an allocation that has one of its own. Linux only; an unprivileged client makes neither.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { pidsInGroups } from "./process-identity.js";

export const CGROUP_ROOT = "/sys/fs/cgroup";
/** Networks of allocations in bridge mode, by their IDs. */
const NETWORKS = "/var/run/netns";

/** To be called when the processes have ended and before `folder`, which holds the clients' data, is removed. */
export function removeNomadLeftovers(folder: string): void {
  if (process.platform !== "linux") return;
  for (const mount of mountsUnder(folder)) execFileSync("umount", ["-l", mount], { stdio: "ignore" });
  const allocations = allocationsUnder(folder);
  for (const id of list(NETWORKS).filter((name) => allocations.includes(name))) {
    execFileSync("umount", ["-l", join(NETWORKS, id)], { stdio: "ignore" });
    rmSync(join(NETWORKS, id), { force: true });
  }
  for (const [parent, isOurs] of [
    // A parent of our own (see nomad-agent.ts): of Nomad in version 2, of a test's containers in each hierarchy of version 1 too.
    ...[CGROUP_ROOT, ...hierarchiesOfVersion1()].map((path) => [path, (entry: string) => entry.startsWith(`${basename(folder)}-`)] as const),
    // Version 1: each controller has a `nomad`, a name that Nomad does not let us choose, with a group for each task.
    ...hierarchiesOfVersion1().map((path) => [join(path, "nomad"), (entry: string) => allocations.some((id) => entry.startsWith(id))] as const),
  ] as const) {
    for (const entry of list(parent).filter(isOurs)) removeGroup(join(parent, entry));
  }
}

/**
 * Pids of tasks of the clients whose data is below `folder` (of a run, or of a node of one). Tasks of the exec driver
 * have an environment of their own and outlive their executor: only their control groups tell whose they are.
 */
export function taskPids(folder: string): number[] {
  return pidsInGroups([...allocationsUnder(folder), ...allocationsOfNode(folder)]);
}

/** Of the control groups of an agent of this run, for its `cgroup_parent`. */
export function cgroupParent(runFolder: string, nodeName: string): string {
  return `${basename(runFolder)}-${nodeName}.slice`;
}

/** Innermost first. proc(5): spaces in a path are written as \040. */
function mountsUnder(folder: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "))
    .filter((path) => path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length);
}

/** Allocation IDs: the folders NODE/nomad/data/alloc/ID. */
function allocationsUnder(folder: string): string[] {
  return list(folder).flatMap((node) => allocationsOfNode(join(folder, node)));
}

function allocationsOfNode(folder: string): string[] {
  return list(join(folder, "nomad", "data", "alloc"));
}

function hierarchiesOfVersion1(): string[] {
  return list(CGROUP_ROOT).map((controller) => join(CGROUP_ROOT, controller));
}

/** Empty where it is no folder. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A control group is removed like an empty folder, its children first; the kernel refuses while a process is in it. */
export function removeGroup(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroup(join(group, entry.name));
  }
  rmdirSync(group);
}
