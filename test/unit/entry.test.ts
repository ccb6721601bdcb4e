import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../src/dev/project-root.js";

const entry = join(projectRoot(), "bin/run.js");
const source = readFileSync(entry, "utf8");

/** Runs the entry as if Node had this version. */
function runAs(version: string) {
  const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } })`;
  return spawnSync(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`, entry, "--version"], { encoding: "utf8" });
}

test("an old Node is told which one is needed, before anything is loaded", () => {
  for (const version of ["18.20.8", "20.18.3", "16.0.0"]) {
    const { status, stdout, stderr } = runAs(version);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/^hypercore needs Node\.js 20\.19\.0 or newer and is run by v\S+ \(.+\)\.\nInstall a newer one/);
  }
});

test("a new enough Node is not stopped", () => {
  for (const version of ["20.19.0", "20.20.1", "22.0.0", "100.1.0"]) {
    expect(runAs(version).stderr).not.toContain("needs Node.js");
  }
});

test("the version asked for is package.json's", () => {
  const { engines } = JSON.parse(readFileSync(join(projectRoot(), "package.json"), "utf8")) as { engines: { node: string } };
  expect(engines.node).toBe(`>=${/REQUIRED = "([\d.]+)"/.exec(source)?.[1] ?? ""}`);
});

test("nothing in the entry is resolved or parsed only by a new Node", () => {
  expect(source).not.toMatch(/^import /m);
  expect(source.slice(0, source.indexOf("async function start"))).not.toMatch(/\bawait \w+\(/);
});
