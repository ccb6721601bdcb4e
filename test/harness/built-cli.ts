/** The program as a user runs it: bin/run.js over dist/, in a process of its own, without a terminal. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { projectRoot } from "../../src/dev/project-root.js";

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Fails with what to do where the project is not built. */
export function builtProject(): string {
  const root = projectRoot();
  if (!existsSync(join(root, "dist/commands/cluster/metrics.js"))) {
    throw new Error("dist/ is not built, and this test runs what is published: run `npm run build` first");
  }
  return root;
}

/** Variables of the caller that would change what a command prints or reads are left out. */
export function plainEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(CONSUL_|NOMAD_|IBRL_|NODE_ENV$|NODE_OPTIONS$|FORCE_COLOR$|NO_COLOR$|JEST_)/.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

export function startCli(args: readonly string[], env: Readonly<Record<string, string>> = {}, project = builtProject()): ChildProcess {
  return spawn(process.execPath, [join(project, "bin/run.js"), ...args], {
    env: plainEnvironment(env),
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** `project`: the folder of another version. */
export async function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}, project?: string): Promise<Finished> {
  return finished(startCli(args, env, project));
}

export async function finished(child: ChildProcess): Promise<Finished> {
  const closed = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([read(child.stdout), read(child.stderr), closed]);
  return { code, stdout, stderr };
}

async function read(stream: ChildProcess["stdout"]): Promise<string> {
  return stream === null ? "" : text(stream);
}
