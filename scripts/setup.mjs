// All that `npm start` and `npm test` need, done once: packages, compiled code, Consul and Nomad. Progress on stderr.
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createProgress } from "../src/dev/progress.js";
import { build } from "./build.mjs";
import { capture, passThrough, root } from "./children.mjs";

/** False where something failed, which has then been said. */
export async function setup({ tests = false } = {}) {
  const progress = createProgress();
  try {
    if (!packagesAreInstalled()) await installPackages(progress);
    await build(progress, { tests });
  } catch (error) {
    console.error(error.message);
    return false;
  }
  return (await passThrough([process.execPath, join(root, "dist", "dev", "setup-binaries.js")])) === 0;
}

/** npm writes what it installed to node_modules/.package-lock.json, last of all: compare its content with the lock file's. */
function packagesAreInstalled() {
  const installedFile = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return false;
  const { packages: installed } = JSON.parse(readFileSync(installedFile, "utf8"));
  const { packages: locked } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  return Object.entries(locked).every(([path, wanted]) => {
    if (path === "") return true;
    const present = installed[path];
    // Optional ones of other systems stay away.
    return present ? present.version === wanted.version && present.integrity === wanted.integrity : wanted.optional === true;
  });
}

async function installPackages(progress) {
  const step = progress.step("Installing packages (npm ci)");
  const started = process.env.npm_execpath ?? "";
  const npm = basename(started) === "npm-cli.js" ? [process.execPath, started] : ["npm"];
  const flags = ["--include=dev", "--loglevel=error", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"];
  const { code, output } = await capture([...npm, "ci", ...flags]);
  if (code === 0) return step.done("Packages installed");
  step.fail("Installing packages failed");
  throw new Error(`${output}\n\`npm ci\` ended with code ${code}.`);
}

if (process.argv[1] === import.meta.filename && !(await setup({ tests: process.argv.includes("--tests") }))) process.exitCode = 1;
