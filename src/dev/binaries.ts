/**
 * Where the `consul` and `nomad` programs come from: CONSUL_BIN/NOMAD_BIN, then PATH, then the cache, then a build
 * from the Go modules in testbed/, whose pinned versions name the cached files. A user's own program always comes first.
 */
import { execFile } from "node:child_process";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { buildBinary } from "./build-binary.js";
import { DevError } from "./dev-error.js";
import type { Progress } from "./progress.js";
import { projectRoot } from "./project-root.js";

export type BinaryName = "consul" | "nomad";

export interface Binary {
  name: BinaryName;
  /** Absolute. */
  path: string;
  /** As it says of itself, without the `v`: "1.20.6". */
  version: string;
  source: "environment" | "path" | "cache" | "build";
}

export interface FindOptions {
  env: NodeJS.ProcessEnv;
  progress: Progress;
  /** The folder that holds testbed/. */
  root?: string;
  signal?: AbortSignal;
}

/** Rejects with `binary-unusable`, `binary-missing` or `build-failed`; each message says what to do. */
export async function findBinary(name: BinaryName, options: FindOptions): Promise<Binary> {
  const { env, progress, root = projectRoot(), signal } = options;
  const variable = `${name.toUpperCase()}_BIN`;
  const own = env[variable];
  if (own) return { ...(await ownBinary(name, variable, resolve(own))), source: "environment" };

  const onPath = findOnPath(name, env);
  if (onPath) {
    const found = await probe(name, onPath);
    if (typeof found !== "string") return { ...found, source: "path" };
    progress.note(`Passing over ${onPath}: ${found}`);
  }

  const version = pinnedVersion(name, root);
  const cached = join(cacheFolder(env), `${name}-${version}`);
  if (isExecutable(cached)) {
    const found = await probe(name, cached);
    if (typeof found !== "string") return { ...found, source: "cache" };
    progress.note(`Building ${cached} again: ${found}`);
  }

  const go = findOnPath("go", env);
  if (!go) throw new DevError("binary-missing", missingMessage(name, variable), { name });
  await buildBinary({ name, version, output: cached, moduleFolder: join(root, "testbed", name), go, env, progress, ...(signal && { signal }) });
  const built = await probe(name, cached);
  if (typeof built === "string") throw new DevError("build-failed", `${cached} was built but cannot be used: ${built}`, { name });
  return { ...built, source: "build" };
}

/** Of the program that testbed/NAME/go.mod requires, without the `v`. */
export function pinnedVersion(name: BinaryName, root: string): string {
  const file = join(root, "testbed", name, "go.mod");
  const found = new RegExp(`^(?:require)?\\s*github\\.com/hashicorp/${name} v(\\S+)`, "m").exec(readFileSync(file, "utf8"));
  if (!found?.[1]) throw new Error(`${file} requires no github.com/hashicorp/${name}`);
  return found[1];
}

/** `$XDG_CACHE_HOME` counts only when absolute, as its specification has it. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const xdg = env["XDG_CACHE_HOME"];
  const base = xdg && isAbsolute(xdg) ? xdg : join(env["HOME"] ?? homedir(), ".cache");
  return join(base, "hypercore-ibrl", "bin");
}

async function ownBinary(name: BinaryName, variable: string, path: string): Promise<Omit<Binary, "source">> {
  const found = isExecutable(path) ? await probe(name, path) : "no executable file stands there";
  if (typeof found !== "string") return found;
  throw new DevError("binary-unusable", `${variable} is set to ${path}, which cannot be used: ${found}. Correct it or unset it.`, {
    variable,
    path,
  });
}

/** What it says of itself, or why it cannot be used. */
async function probe(name: BinaryName, path: string): Promise<Omit<Binary, "source"> | string> {
  try {
    const { stdout } = await promisify(execFile)(path, ["version"], { timeout: 20_000 });
    const version = /^(Consul|Nomad) v(\S+)/m.exec(stdout);
    if (version?.[1]?.toLowerCase() !== name || !version[2]) return `\`version\` does not answer as ${name}: ${stdout.slice(0, 80).trim() || "nothing"}`;
    return { name, path, version: version[2] };
  } catch (error) {
    return `\`version\` fails: ${(error as Error).message.trim()}`;
  }
}

function findOnPath(program: string, env: NodeJS.ProcessEnv): string | null {
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    if (folder && isExecutable(join(folder, program))) return resolve(folder, program);
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function missingMessage(name: BinaryName, variable: string): string {
  return [
    `${name} is needed and was not found. Do one of these, then try again:`,
    `  1. put \`${name}\` on the PATH,`,
    `  2. set ${variable} to the path of the program,`,
    `  3. install Go (https://go.dev/dl/): ${name} is then built once from the pinned modules, in some 4 minutes, and kept.`,
  ].join("\n");
}
