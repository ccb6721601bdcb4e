// `npm test [-- FILES AND JEST FLAGS]`: set-up, the guards, then every test; with files or folders, those alone and no
// guards. The last line is `N passed, N failed, N skipped`; a guard, and a suite that could not run, count as one each.
// In a run of everything, or with --again, a file on real agents that fails is run once more, alone, and named: a machine that
// stood still for seconds looks like a fault of the cluster, and the second failure is a fault of ours.
import "./node-version.mjs";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { createProgress } from "../src/dev/progress.js";
import { check } from "./check.mjs";
import { capture, passThrough, root, tool } from "./children.mjs";
import { setup } from "./setup.mjs";

const [node, jest] = tool("jest/bin/jest.js");
const JEST = [node, "--experimental-vm-modules", "--disable-warning=ExperimentalWarning", jest, "--json"];
/**
 * What these say of packets or of processes holds only while no other cluster takes the processor: one at a time, and
 * nothing beside them. All other files on real agents mostly wait, each with ports, folders and processes of its own.
 */
const ALONE = ["integration/measuring", "integration/probe-relay", "integration/prober", "integration/stamp-peer", "integration/local-cluster", "e2e/probe-command"];
const isAlone = (file) => ALONE.some((name) => file === join(root, "test", `${name}.test.ts`));
const AGAIN = "--again";
const ON_AGENTS = { folders: ["contract", "integration", "e2e"], again: true };
const GROUPS = [
  { folders: ["unit"], takes: () => true, flags: ["--maxWorkers=2"], again: false },
  { ...ON_AGENTS, takes: (file) => !isAlone(file), flags: ["--maxWorkers=2", "--testTimeout=180000"] },
  { ...ON_AGENTS, takes: isAlone, flags: ["--runInBand", "--testTimeout=180000"] },
  // Runs of `npm run test:long`: a run of everything has none of them.
  { folders: ["long"], takes: () => true, flags: ["--runInBand"], again: true, onlyNamed: true },
];
/** jest has written its results and does not end: something keeps it alive, which is a fault of a test. */
const END_WITHIN_MS = 20_000;

const counts = { passed: 0, failed: 0, skipped: 0 };
const remarks = [];
let interrupted = false;

await main(process.argv.slice(2));
for (const remark of remarks) console.log(remark);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = interrupted ? 130 : counts.failed > 0 ? 1 : 0;

async function main(args) {
  // A file that is not there must not become a flag of jest, which would then run everything.
  const named = args.filter((arg) => !arg.startsWith("-") && (arg.endsWith(".ts") || existsSync(resolve(arg))));
  const flags = args.filter((arg) => !named.includes(arg) && arg !== AGAIN);
  const again = named.length === 0 || args.includes(AGAIN);
  if (!(await setup({ tests: true }))) return fail("set-up");
  if (named.length === 0) {
    try {
      const { passed, failed } = await check(createProgress());
      counts.passed += passed.length;
      for (const name of failed) fail(`guard: ${String(name)}`);
    } catch (error) {
      console.error(error.message);
      fail("the guards could not run");
    }
  }
  const wanted = named.length > 0 ? named.map((name) => resolve(name)) : [join(root, "test")];
  await endStaleClusters();
  let found = 0;
  for (const group of GROUPS) {
    if (group.onlyNamed && named.length === 0) continue;
    const files = group.folders.flatMap((folder) => testsIn(join(root, "test", folder))).filter((file) => group.takes(file) && wanted.some((path) => file === path || file.startsWith(`${path}/`)));
    found += files.length;
    if (files.length > 0 && !interrupted) await runJest(files, [...group.flags, ...flags], group.again && again);
  }
  if (found === 0) fail(`no test in ${wanted.map((path) => relative(root, path)).join(", ")}`);
  for (const folder of await endStaleClusters()) fail(`a test left a cluster behind: ${folder}`);
}

function fail(what) {
  counts.failed += 1;
  remarks.push(`failed: ${what}`);
}

function testsIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile())
    .sort();
}

async function runJest(files, flags, again) {
  const folder = mkdtempSync(join(tmpdir(), "hypercore-jest-"));
  const resultFile = join(folder, "result.json");
  const built = files.map((file) => join(root, "build", relative(root, file).replace(/\.ts$/, ".js")));
  let hung = false;
  let watch;
  const code = await passThrough([...JEST, `--outputFile=${resultFile}`, ...flags, "--runTestsByPath", ...built], {
    onSpawn(child) {
      let writtenAt;
      watch = setInterval(() => {
        writtenAt ??= existsSync(resultFile) ? performance.now() : undefined;
        if (writtenAt === undefined || performance.now() - writtenAt < END_WITHIN_MS) return;
        hung = true;
        child.kill("SIGKILL");
      }, 1_000);
    },
  });
  clearInterval(watch);
  const result = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, "utf8")) : undefined;
  rmSync(folder, { recursive: true, force: true });
  if (hung) fail("jest did not end: a test left something open (--detectOpenHandles names it)");
  interrupted ||= code === 130 || code === 143;
  if (result === undefined) return fail(`jest ended with code ${code} and no result`);
  const failed = result.testResults.filter(({ status }) => status === "failed");
  if (!again || interrupted || failed.length === 0) return count(result);
  for (const file of failed) {
    remarks.push(...failures(file).map((test) => `failed at the first try: ${test}`));
    result.numPassedTests -= file.assertionResults.filter(({ status }) => status === "passed").length;
    result.numFailedTests -= file.assertionResults.filter(({ status }) => status === "failed").length;
  }
  count({ ...result, testResults: result.testResults.filter(({ status }) => status !== "failed") });
  await endStaleClusters();
  await runJest(files.filter((_, at) => failed.some(({ name }) => name === built[at])), flags.map((flag) => (flag.startsWith("--maxWorkers") ? "--runInBand" : flag)), false);
}

function sourceOf(built) {
  return relative(join(root, "build"), built).replace(/\.js$/, ".ts");
}

function failures({ name, assertionResults }) {
  const tests = assertionResults.filter(({ status }) => status === "failed");
  return tests.length > 0 ? tests.map(({ fullName }) => `${sourceOf(name)}: ${fullName}`) : [`${sourceOf(name)}: the suite could not run`];
}

function count(result) {
  counts.passed += result.numPassedTests;
  counts.failed += result.numFailedTests;
  for (const file of result.testResults) {
    for (const test of file.assertionResults) {
      if (test.status !== "pending" && test.status !== "todo") continue;
      counts.skipped += 1;
      remarks.push(`skipped: ${sourceOf(file.name)}: ${test.fullName}`);
    }
    if (file.status !== "failed") continue;
    remarks.push(...failures(file).map((test) => `failed: ${test}`));
    if (!file.assertionResults.some(({ status }) => status === "failed")) counts.failed += 1;
  }
}

/** Clusters of test runs that are over, by the same code that cleans up before each start. Returns their folders. */
async function endStaleClusters() {
  const script = `
    const { RunFolder } = await import(${JSON.stringify(join(root, "build/src/dev/run-folder.js"))});
    console.log((await RunFolder.cleanStale("hypercore-test")).join("\\n"));`;
  const { code, output } = await capture([process.execPath, "--input-type=module", "-e", script]);
  if (code !== 0) throw new Error(output);
  return output.split("\n").filter(Boolean);
}
