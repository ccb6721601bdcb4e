// Compiles src/ to dist/ and, with --tests, everything to build/ (what jest runs). Does nothing where the sources have
// not changed since. What is not TypeScript (generated code, pages, vectors) is copied; outputs without a source go.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { capture, root, tool } from "./children.mjs";

const TARGETS = {
  dist: { config: "tsconfig.json", sources: ["src"], base: "src", emits: [".js", ".d.ts"] },
  build: { config: "tsconfig.test.json", sources: ["src", "test", "bench"], base: ".", emits: [".js", ".js.map"] },
};

/** Throws with the compiler's output. `progress` as in src/dev/progress.js. */
export async function build(progress, { tests = false } = {}) {
  for (const name of tests ? ["dist", "build"] : ["dist"]) {
    const { config, sources, base, emits } = TARGETS[name];
    const output = join(root, name);
    const files = sources.flatMap((folder) => filesUnder(join(root, folder)));
    const stamp = join(root, "node_modules", ".cache", "hypercore-ibrl", `${name}.sha256`);
    const hash = hashOf([...["tsconfig.json", config, "package-lock.json"].map((file) => join(root, file)), ...files]);
    if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) continue;

    const step = progress.step(`Compiling to ${name}/`);
    rmSync(stamp, { force: true });
    const { code, output: said } = await capture(tool("typescript/bin/tsc", "-p", config));
    if (code !== 0) {
      step.fail();
      throw new Error(said);
    }
    const expected = new Set();
    for (const file of files) {
      const place = join(output, relative(join(root, base), file));
      if (isCompiled(file)) {
        for (const ending of emits) expected.add(place.replace(/\.ts$/, ending));
      } else {
        mkdirSync(dirname(place), { recursive: true });
        copyFileSync(file, place);
        expected.add(place);
      }
    }
    for (const file of filesUnder(output)) if (!expected.has(file)) rmSync(file);
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, hash);
    step.done();
  }
}

const isCompiled = (file) => file.endsWith(".ts") && !file.endsWith(".d.ts");

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function hashOf(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${relative(root, file)}\0`).update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

if (process.argv[1] === import.meta.filename) {
  const { createProgress } = await import("../src/dev/progress.js");
  try {
    await build(createProgress(), { tests: process.argv.includes("--tests") });
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
