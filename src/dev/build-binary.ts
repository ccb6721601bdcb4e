/** Builds consul or nomad from the pinned Go modules, once: under a lock, to a temporary name, renamed when complete. */
import { spawn } from "node:child_process";
import { mkdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { withBuildLock } from "./build-lock.js";
import type { BinaryName } from "./binaries.js";
import { DevError } from "./dev-error.js";
import type { Progress, ProgressStep } from "./progress.js";

export interface BuildOptions {
  name: BinaryName;
  version: string;
  /** Where the program goes. */
  output: string;
  /** Holds go.mod and go.sum; only read. */
  moduleFolder: string;
  /** The go program. */
  go: string;
  env: NodeJS.ProcessEnv;
  progress: Progress;
  signal?: AbortSignal;
}

/** Rejects with `build-failed` and the compiler's last words. Where another process is building the same, waits for it and builds nothing. */
export async function buildBinary(options: BuildOptions): Promise<void> {
  const { name, version, output, progress, signal } = options;
  const folder = dirname(output);
  await mkdir(folder, { recursive: true });
  const lock = join(folder, `.${basename(output)}.lock`);
  await withBuildLock(lock, { output, progress, ...(signal && { signal }) }, async () => {
    const step = progress.step(`Building ${name} ${version} with Go (some 4 minutes, once)`);
    const temporary = join(folder, `.${basename(output)}.${process.pid}`);
    try {
      await goBuild(options, temporary, step);
      await rename(temporary, output);
      step.done(`Built ${name} ${version}: ${output}`);
    } catch (error) {
      step.fail(`Building ${name} ${version} failed`);
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  });
}

async function goBuild({ name, go, env, moduleFolder, signal }: BuildOptions, output: string, step: ProgressStep): Promise<void> {
  const args = ["build", "-v", "-p", "2", "-trimpath", "-ldflags", "-s -w", "-o", output, `github.com/hashicorp/${name}`];
  const child = spawn(go, args, {
    cwd: moduleFolder,
    // A go.work of somebody above this folder must not join in.
    env: { ...env, GOWORK: "off" },
    stdio: ["ignore", "ignore", "pipe"],
    ...(signal && { signal }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  let downloaded = 0;
  let compiled = 0;
  const words: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    if (line.startsWith("go: downloading ")) downloaded += 1;
    else if (/^[\w.~/-]+$/.test(line)) compiled += 1; // -v prints each package as it is compiled
    else words.push(line);
    step.update(compiled > 0 ? `${compiled} packages compiled` : `${downloaded} modules downloaded`);
  });
  const code = await ended;
  if (code !== 0) {
    const said = words.slice(-30).join("\n");
    throw new DevError("build-failed", `\`go build\` of ${name} in ${moduleFolder} ended with code ${code}:\n${said}`, { name, code });
  }
}
