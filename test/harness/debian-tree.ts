/**
 * Debian's file system of its packages, made by debootstrap, with Node.js from the npm registry in it: what stands for a base image of
 * a registry that cannot be reached, and for a host. Root's only; takes a minute.
 */
import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const MAX_OUTPUT = 1 << 26;

/** Null where one may be made. */
export async function whyNoDebianTree(): Promise<string | null> {
  if (process.geteuid?.() !== 0) return "debootstrap needs root";
  const found = await run("sh", ["-c", "command -v debootstrap"]).catch(() => null);
  return found === null ? "there is no program debootstrap: apt-get install debootstrap" : null;
}

/** `packages`: beside those that Debian calls required, and what Node.js is linked with. */
export async function makeDebianTree(root: string, packages: readonly string[] = []): Promise<void> {
  const include = ["libstdc++6", "ca-certificates", ...packages].join(",");
  await run("debootstrap", ["--variant=minbase", `--include=${include}`, "bookworm", root], { maxBuffer: MAX_OUTPUT });
}

/** As the image `node` has it: in /usr/local, with npm, and the user of that name. Answers with its version. `scratch`: a folder to be made. */
export async function addNode(root: string, scratch: string, majors: { node: number; npm: number }): Promise<string> {
  mkdirSync(scratch);
  writeFileSync(join(scratch, "package.json"), "{}");
  const program = `node-linux-${process.arch}`;
  await npm(scratch, "install", "--no-audit", "--no-fund", "--ignore-scripts", `${program}@${String(majors.node)}`, `npm@${String(majors.npm)}`);
  const local = join(root, "usr/local");
  copyFileSync(join(scratch, "node_modules", program, "bin/node"), join(local, "bin/node"));
  chmodSync(join(local, "bin/node"), 0o755);
  mkdirSync(join(local, "lib/node_modules"), { recursive: true });
  cpSync(join(scratch, "node_modules/npm"), join(local, "lib/node_modules/npm"), { recursive: true });
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(local, "bin/npm"));
  await run("chroot", [root, "sh", "-c", "groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node"]);
  await addNpmSettings(root, scratch);
  return (await run("chroot", [root, "node", "--version"])).stdout.trim();
}

/** The registry and the certificates by which this machine reaches one, where they are not npm's own. */
async function addNpmSettings(root: string, scratch: string): Promise<void> {
  const setting = async (name: string) => (await npm(scratch, "config", "get", name)).trim();
  const lines = [`registry=${await setting("registry")}`];
  const authorities = await setting("cafile");
  if (existsSync(authorities)) {
    mkdirSync(dirname(join(root, authorities)), { recursive: true });
    copyFileSync(authorities, join(root, authorities));
    lines.push(`cafile=${authorities}`);
  }
  mkdirSync(join(root, "usr/local/etc"), { recursive: true });
  writeFileSync(join(root, "usr/local/etc/npmrc"), `${lines.join("\n")}\n`);
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  return (await run("npm", args, { cwd, maxBuffer: MAX_OUTPUT })).stdout;
}
