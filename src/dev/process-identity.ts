/**
 * Which process a pid is: pids are reused, so one from a file is believed only with its start time and command.
 * Linux reads /proc; other systems ask ps. Zombies count as gone: they hold a pid and nothing else.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessIdentity {
  pid: number;
  /** Opaque, compared for equality: boot and ticks on Linux, a date elsewhere. */
  startedAt: string;
  command: string;
}

const onLinux = process.platform === "linux";

/** Null where no such process runs. */
export function identify(pid: number): ProcessIdentity | null {
  try {
    return onLinux ? identifyByProc(pid) : identifyByPs(pid);
  } catch {
    return null;
  }
}

export function isSameProcess(recorded: ProcessIdentity): boolean {
  const now = identify(recorded.pid);
  return now !== null && now.startedAt === recorded.startedAt && now.command === recorded.command;
}

/** Pids of this user's processes that were started with `variable=value` (inherited by what they start). Linux only; none elsewhere. */
export function pidsWithVariable(variable: string, value: string): number[] {
  if (!onLinux) return [];
  const wanted = `${variable}=${value}`;
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && readEnvironment(pid).includes(wanted) && identify(pid) !== null);
}

/** Pids of processes in a control group whose path holds one of these names. Linux only; none elsewhere. */
export function pidsInGroups(names: readonly string[]): number[] {
  if (!onLinux || names.length === 0) return [];
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      const groups = readOf(`/proc/${pid}/cgroup`);
      return pid !== process.pid && names.some((name) => groups.includes(name)) && identify(pid) !== null;
    });
}

/** A signal to a process that may be gone already. */
export function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function identifyByProc(pid: number): ProcessIdentity | null {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // proc(5): the command in field 2 may hold spaces and brackets, so count from its last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, ticksSinceBoot] = [fields[0], fields[19]];
  if (state === undefined || ticksSinceBoot === undefined || state === "Z" || state === "X") return null;
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  return { pid, startedAt: `${boot}/${ticksSinceBoot}`, command };
}

function identifyByPs(pid: number): ProcessIdentity | null {
  const ps = (column: string): string =>
    execFileSync("ps", ["-o", `${column}=`, "-p", String(pid)], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  if (ps("stat").startsWith("Z")) return null;
  return { pid, startedAt: ps("lstart"), command: ps("command") };
}

function readEnvironment(pid: number): string[] {
  return readOf(`/proc/${pid}/environ`).split("\0");
}

function readOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // another user's, or gone
  }
}
