// The guards: what a machine can tell of the code without running it. Each that has its file here runs; all are named.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createProgress } from "../src/dev/progress.js";
import { build } from "./build.mjs";
import { capture, root, tool } from "./children.mjs";

const script = (name, ...args) => [process.execPath, join(root, "scripts", name), ...args];

const GUARDS = [
  { name: "types", needs: "tsconfig.test.json", command: tool("typescript/bin/tsc", "-p", "tsconfig.test.json", "--noEmit") },
  { name: "lint", needs: ".oxlintrc.json", command: tool("oxlint/bin/oxlint", "--type-aware", "--deny-warnings") },
  { name: "import direction and cycles", needs: "scripts/imports.mjs", command: script("imports.mjs", "--check") },
  { name: "dead code", needs: "knip.json", command: tool("knip/bin/knip.js", "--no-progress") },
  { name: "messages generated from proto/", needs: "scripts/proto.mjs", command: script("proto.mjs", "--check") },
  { name: "docs/settings.md", needs: "docs/settings.md", command: script("settings-doc.mjs", "--check") },
  { name: "policy schema and tables", needs: "docs/policy.md", command: script("policy-schema.mjs", "--check") },
  { name: "oclif.manifest.json", needs: "oclif.manifest.json", command: script("manifest.mjs", "--check") },
  { name: "policy modules", needs: "scripts/wasm-policies.mjs", command: script("wasm-policies.mjs", "--check") },
  { name: "README commands", needs: "README.md", command: script("readme-commands.mjs", "--check") },
];

/** Runs them all, one after another: { passed: [name], failed: [name] }. Output of those that fail goes to stderr. */
export async function check(progress) {
  const result = { passed: [], failed: [] };
  await build(progress);
  for (const { name, needs, command } of GUARDS) {
    if (!existsSync(join(root, needs))) {
      progress.note(`- Guard not run, there is no ${needs}: ${name}`);
      continue;
    }
    const step = progress.step(`Guard: ${name}`);
    const { code, output } = await capture(command);
    result[code === 0 ? "passed" : "failed"].push(name);
    if (code === 0) step.done();
    else {
      step.fail();
      console.error(output);
    }
  }
  return result;
}

if (process.argv[1] === import.meta.filename) {
  try {
    const { failed } = await check(createProgress());
    if (failed.length > 0) console.error(`Failed: ${failed.join(", ")}`);
    process.exitCode = failed.length > 0 ? 1 : 0;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
