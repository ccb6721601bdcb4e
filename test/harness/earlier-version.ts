/**
 * An earlier version of this package, for tests of what it and this one say to each other. No release is published yet, so a
 * commit of this repository stands for "the release before"; once there is one, its tag belongs here. Its own sources, built
 * by its own script, with the packages that this project has installed.
 */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { projectRoot } from "../../src/dev/project-root.js";

/**
 * The first that has sidecar, links, placed workloads and proofs. States then had no work outcomes and no proofs of workloads,
 * proofs no beacons and decisions, and nobody was federated or attested.
 */
const COMMIT = "66ab25f33c81362c01152026b02b57022a17a346";
/** Git ignores build-*, and so do lint and the compiler. */
const FOLDER = "build-earlier";

/** Why it cannot be had here; null where it can. */
export function whyNoEarlierVersion(): string | null {
  try {
    execFileSync("git", ["cat-file", "-e", `${COMMIT}^{commit}`], { cwd: projectRoot(), stdio: "ignore" });
    return null;
  } catch {
    return `needs git and commit ${COMMIT.slice(0, 7)}, which a shallow clone has not`;
  }
}

/** Its folder, built: like this project's after `npm run build`. Made once; a second caller at the same time makes its own, and drops it. */
export async function earlierVersion(): Promise<string> {
  const folder = join(projectRoot(), FOLDER, COMMIT.slice(0, 12));
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const making = mkdtempSync(join(dirname(folder), "making-"));
  try {
    const archive = join(making, "archive.tar");
    await run("git", ["archive", `--output=${archive}`, COMMIT], projectRoot());
    await run("tar", ["-xf", archive], making);
    rmSync(archive);
    // The others are found on the way up. Not the whole folder: its build keeps a stamp there, under the same name as ours.
    mkdirSync(join(making, "node_modules"));
    symlinkSync("../../../node_modules/typescript", join(making, "node_modules/typescript"));
    await run(process.execPath, ["scripts/build.mjs"], making);
    if (!existsSync(folder)) renameSync(making, folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return folder;
}

async function run(program: string, args: string[], cwd: string): Promise<void> {
  await promisify(execFile)(program, args, { cwd });
}
