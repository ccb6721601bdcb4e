/**
 * Runs a program once for the one text that it prints. No shell, no input, no arguments. It has a deadline and a bound
 * on its output, and is never left behind: it leads a process group of its own, and the whole group is killed at the
 * deadline, beyond the bound and when the signal aborts. What it leaves running after it ended by itself is its own.
 */
import { type ChildProcess, spawn } from "node:child_process";

export type ProgramErrorCode = "not-started" | "deadline" | "too-much-output" | "exit" | "killed" | "aborted";

export class ProgramError extends Error {
  constructor(
    readonly code: ProgramErrorCode,
    message: string,
  ) {
    super(message);
    this.name = "ProgramError";
  }
}

export interface ProgramOptions {
  path: string;
  env: Readonly<Record<string, string | undefined>>;
  deadlineMs: number;
  signal: AbortSignal;
}

const MAX_OUTPUT_BYTES = 1_024;
/** Of what it says on stderr, for the log. */
const MAX_COMPLAINT = 300;

/** What it wrote to stdout, where it exited with 0; it has ended either way. Rejects with ProgramError. */
export async function runProgram({ path, env, deadlineMs, signal }: ProgramOptions): Promise<string> {
  if (signal.aborted) throw new ProgramError("aborted", "stopped");
  const child = spawn(path, [], { env: { ...env }, detached: process.platform !== "win32", stdio: ["ignore", "pipe", "pipe"] });
  let [output, complaint] = ["", ""];
  let verdict: ProgramError | undefined;
  const end = (code: ProgramErrorCode, message: string): void => {
    verdict ??= new ProgramError(code, message);
    killGroup(child);
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (Buffer.byteLength(output) > MAX_OUTPUT_BYTES) end("too-much-output", `printed more than ${String(MAX_OUTPUT_BYTES)} bytes`);
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT);
  });
  const onAbort = (): void => end("aborted", "stopped");
  signal.addEventListener("abort", onAbort, { once: true });
  const deadline = setTimeout(() => end("deadline", `did not end within ${String(deadlineMs / 1_000)} s`), deadlineMs);
  try {
    // `close` comes when the program has ended and been waited for, and its output is read or was given up.
    const [code, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once("error", (error) => reject(new ProgramError("not-started", `${path} cannot be run: ${error.message}`)));
      child.once("close", (...ended) => resolve(ended));
    });
    if (verdict !== undefined) throw verdict;
    const said = complaint.trim() === "" ? "" : `: ${complaint.trim()}`;
    if (by !== null) throw new ProgramError("killed", `was ended by ${by}${said}`);
    if (code !== 0) throw new ProgramError("exit", `exited with ${String(code)}${said}`);
    return output;
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener("abort", onAbort);
  }
}

/** Its output is given up too: a descendant in another group may hold it open for ever. */
function killGroup(child: ChildProcess): void {
  const { pid, exitCode, signalCode } = child;
  // Once it was waited for, its number may be another's.
  if (pid !== undefined && exitCode === null && signalCode === null) {
    try {
      if (process.platform === "win32") child.kill("SIGKILL");
      else process.kill(-pid, "SIGKILL");
    } catch {
      // it ended just now
    }
  }
  child.stdout?.destroy();
  child.stderr?.destroy();
}
