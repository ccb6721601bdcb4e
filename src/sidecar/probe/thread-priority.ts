/**
 * Asks the system to wake this thread before busy ones. Linux only, where a nice value belongs to a
 * thread: elsewhere it would move the whole process. A few packets a second take no time from anyone.
 */
import { constants, setPriority } from "node:os";

/** Whether it was allowed: it takes root or CAP_SYS_NICE. */
export function raiseThreadPriority(): boolean {
  if (process.platform !== "linux") return false;
  try {
    // 0 is the calling thread to setpriority(2) on Linux, not the process.
    setPriority(0, constants.priority.PRIORITY_HIGH);
    return true;
  } catch {
    return false;
  }
}
