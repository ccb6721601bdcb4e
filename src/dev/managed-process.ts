/**
 * One child process with a log file: started in a process group of its own (so that Ctrl-C in a terminal reaches
 * only its owner, who ends it in order), stopped with SIGTERM and then SIGKILL, and startable again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { DevError } from "./dev-error.js";
import type { RunFolder } from "./run-folder.js";

export interface ProcessSpec {
  /** What messages call it: "consul node-1". */
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** stdout and stderr, appended over restarts. */
  logFile: string;
  run: RunFolder;
}

export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export const STOP_GRACE_MS = 10_000;

export class ManagedProcess {
  #child: ChildProcess | null = null;
  #exit: Promise<ProcessExit> | null = null;

  constructor(readonly spec: ProcessSpec) {}

  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Of the present or last run; rejects where there was none. Never rejects for how the process ended. */
  get exited(): Promise<ProcessExit> {
    return this.#exit ?? Promise.reject(new Error(`${this.spec.name} was not started`));
  }

  /** Resolves when the program runs; rejects with `process-exited` where it cannot be executed. */
  async start(): Promise<void> {
    if (this.running) throw new Error(`${this.spec.name} runs already`);
    const { name, command, args, env, cwd, logFile, run } = this.spec;
    const log = openSync(logFile, "a", 0o600);
    const child = spawn(command, args, {
      cwd,
      env: { ...env, ...run.environment },
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    if (child.pid !== undefined) run.record(child.pid);
    this.#child = child;
    this.#exit = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      child.once("error", () => resolve({ code: null, signal: null }));
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => {
        this.#child = null;
        reject(new DevError("process-exited", `${name} could not be started: ${error.message}`, { command }));
      });
    });
  }

  /** To the process alone, as a crash or an operator would do it, not to what it started. */
  kill(signal: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(signal);
  }

  pause(): void {
    this.kill("SIGSTOP");
  }

  resume(): void {
    this.kill("SIGCONT");
  }

  /** SIGTERM, then SIGKILL after the grace. Resolves once it is gone; null where it was never started. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<ProcessExit | null> {
    if (this.running) {
      this.kill("SIGTERM");
      this.resume(); // a paused process would not see it
      const timer = setTimeout(() => this.kill("SIGKILL"), graceMs);
      await this.exited;
      clearTimeout(timer);
    }
    return this.#exit;
  }

  /** The last lines of its log. */
  tail(lines = 15): string {
    if (!existsSync(this.spec.logFile)) return "";
    return readFileSync(this.spec.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }
}
