// Writes oclif.manifest.json from the compiled commands in dist/, or with `--check` fails where the file differs.
// The Plugin of @oclif/core is what `oclif manifest` uses too. Not the tool itself: it deletes the file first, and run
// in another folder over links it writes paths of this machine into the manifest.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Plugin, settings } from "@oclif/core";
import { root } from "./children.mjs";

const FILE = "oclif.manifest.json";
const path = join(root, FILE);

if (existsSync(join(root, "dist/commands"))) {
  const made = await manifest();
  if (!process.argv.includes("--check")) writeFileSync(path, made);
  else if (!existsSync(path) || readFileSync(path, "utf8") !== made) {
    fail(`${FILE} is out of date: run \`npm run build && node scripts/manifest.mjs\` and commit it`);
  }
} else {
  fail("dist/commands is missing: run `npm run build` first");
}

async function manifest() {
  settings.enableAutoTranspile = false; // the compiled commands, whatever NODE_ENV says
  const plugin = new Plugin({ errorOnManifestCreate: true, ignoreManifest: true, respectNoCacheDefault: true, root, type: "core" });
  await plugin.load();
  for (const [id, { relativePath }] of Object.entries(plugin.manifest.commands)) {
    if (relativePath[0] !== "dist") throw new Error(`${id} was loaded from outside dist/: ${relativePath.join("/")}`);
  }
  // Commands come in the order of the files on disk, which is not the same on every machine.
  const commands = Object.fromEntries(Object.entries(plugin.manifest.commands).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ ...plugin.manifest, commands }, null, 2)}\n`;
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}
