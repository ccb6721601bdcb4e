/** What Linux says that a process uses (proc(5)). Throws where there is no such process. MB = 10^6 bytes. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** The unit of times in /proc/PID/stat: 100 almost everywhere. */
export function clockTicksPerSecond(): number {
  return Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
}

/** User and system time so far, of all its threads. */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
  // The command in field 2 may hold spaces and brackets, so count from its last bracket: utime is field 14, stime 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

export function memory(pid: number): { rssMb: number; pssMb: number | undefined } {
  const rssMb = megabytes(readFileSync(`/proc/${String(pid)}/status`, "utf8"), "VmRSS");
  if (rssMb === undefined) throw new Error(`process ${String(pid)} has no memory: it has ended`);
  return { rssMb, pssMb: megabytes(readIfThere(`/proc/${String(pid)}/smaps_rollup`), "Pss") };
}

/** The kernel writes kB and means 1024 bytes. */
function megabytes(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1];
  return found === undefined ? undefined : (Number(found) * 1_024) / 1e6;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // an older kernel, or another user's process
  }
}
