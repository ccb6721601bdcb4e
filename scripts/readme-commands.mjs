// Writes the commands section of README.md, between <!-- commands --> and <!-- commandsstop -->, by `oclif readme`
// from the manifest (scripts/manifest.mjs first). `--check` does it to a copy and fails on a difference.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root, tool } from "./children.mjs";

const readme = join(root, "README.md");
for (const marker of ["<!-- commands -->", "<!-- commandsstop -->"]) {
  if (!readFileSync(readme, "utf8").includes(marker)) {
    console.error(`README.md has no ${marker}: put both markers where the commands should stand`);
    process.exit(1);
  }
}

if (!process.argv.includes("--check")) {
  generate(readme);
} else {
  const work = mkdtempSync(join(tmpdir(), "ibrl-readme-"));
  try {
    const copy = join(work, "README.md");
    copyFileSync(readme, copy);
    generate(copy);
    if (readFileSync(copy, "utf8") !== readFileSync(readme, "utf8")) {
      console.error("the commands in README.md are out of date: run `node scripts/readme-commands.mjs` and commit it");
      process.exitCode = 1;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function generate(path) {
  const [node, ...args] = tool("oclif/bin/run.js", "readme", "--readme-path", path, "--plugin-directory", root, "--no-aliases", "--no-source-links");
  // The same text on every machine: a fixed width, built commands, and no look-up of newer versions of the tool.
  const env = { ...process.env, COLUMNS: "100", NODE_ENV: "production", NO_COLOR: "1", OCLIF_SKIP_NEW_VERSION_CHECK: "true" };
  delete env.FORCE_COLOR;
  execFileSync(node, args, { cwd: root, env, stdio: ["ignore", "ignore", "inherit"] });
}
