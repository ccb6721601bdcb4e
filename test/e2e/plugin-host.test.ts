/**
 * The package as a plug-in of another oclif CLI: packed as npm would publish it, installed into a small host, seen in
 * the host's help, and run by the host against a real cluster.
 */
import { execFile, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LocalCluster } from "../../src/dev/local-cluster.js";
import { builtProject, type Finished, finished, plainEnvironment, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";

const INSTALL_WITHIN_MS = 240_000;
const CLUSTER_WITHIN_MS = 180_000;
const NODES = 3;

let host: string;
let cluster: LocalCluster | undefined;

beforeAll(async () => {
  const project = builtProject();
  host = mkdtempSync(join(tmpdir(), "ibrl-host-"));
  await npm(project, "pack", "--pack-destination", host);
  makeHost(project, " ");
  await npm(host, "install", "--prefer-offline", "--no-audit", "--no-fund", "--omit=dev");
}, INSTALL_WITHIN_MS);
beforeAll(async () => {
  cluster = await startTestCluster({ nodes: NODES });
  const env = cluster.environment();
  await eventually(async () => verifiedIn((await runCli(["cluster", "metrics", "--json"], env)).stdout) === NODES, { timeoutMs: 60_000, everyMs: 500 });
}, CLUSTER_WITHIN_MS);
afterAll(async () => {
  await stopTestCluster(cluster);
  if (host !== undefined) rmSync(host, { recursive: true, force: true });
}, CLUSTER_WITHIN_MS);

function verifiedIn(json: string): number {
  return (JSON.parse(json) as { nodes: { verified: boolean }[] }).nodes.filter(({ verified }) => verified).length;
}

async function npm(cwd: string, ...args: string[]): Promise<void> {
  await promisify(execFile)("npm", args, { cwd, env: plainEnvironment({ npm_config_loglevel: "error", npm_config_update_notifier: "false" }) });
}

/** A CLI with a bin, a command and a name of its own, and this package as its plug-in. */
function makeHost(project: string, topicSeparator: string): void {
  const { version, dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { version: string; dependencies: Record<string, string> };
  const manifest = {
    name: "small-host",
    version: "1.0.0",
    private: true,
    type: "module",
    bin: { "small-host": "bin/run.js" },
    dependencies: { "@oclif/core": dependencies["@oclif/core"], "hypercore-ibrl": `file:hypercore-ibrl-${version}.tgz` },
    oclif: { bin: "small-host", dirname: "small-host", commands: "./commands", topicSeparator, plugins: ["hypercore-ibrl"] },
  };
  mkdirSync(join(host, "bin"), { recursive: true });
  mkdirSync(join(host, "commands"), { recursive: true });
  writeFileSync(join(host, "package.json"), JSON.stringify(manifest, null, 2));
  writeFileSync(join(host, "bin/run.js"), '#!/usr/bin/env node\nimport { execute } from "@oclif/core";\nawait execute({ dir: import.meta.url });\n');
  chmodSync(join(host, "bin/run.js"), 0o755);
  writeFileSync(
    join(host, "commands/hello.js"),
    'import { Command } from "@oclif/core";\nexport default class Hello extends Command {\n  static summary = "Say hello.";\n  async run() {\n    await this.parse(Hello);\n    this.log("hello");\n  }\n}\n',
  );
}

/** The host with the cluster's addresses in its environment, its caches in its own folder. */
async function runHost(...args: string[]): Promise<Finished> {
  const env = plainEnvironment({ XDG_CACHE_HOME: join(host, "cache"), XDG_DATA_HOME: join(host, "data"), ...cluster?.environment() });
  return finished(spawn(process.execPath, [join(host, "bin/run.js"), ...args], { cwd: host, env, stdio: ["ignore", "pipe", "pipe"] }));
}

test("the host's help has our topics beside its own commands, and nothing warns", async () => {
  const top = await runHost("--help");
  expect(top).toMatchObject({ code: 0, stderr: "" });
  expect(top.stdout).toMatch(/^ {2}hello\s+Say hello\./m);
  expect(top.stdout).toMatch(/^ {2}cluster\s+\S/m);
  const topic = await runHost("cluster", "--help");
  expect(topic).toMatchObject({ code: 0, stderr: "" });
  expect(topic.stdout).toMatch(/^ {2}cluster metrics\s+\S/m);
  expect(topic.stdout).toMatch(/^ {2}cluster list\s+\S/m);
  expect((await runHost("cluster", "metrics", "--help")).stdout).toContain("$ small-host cluster metrics");
});

test("what is installed is all that runs: no sources, no tests, and the commands' manifest", () => {
  const installed = join(host, "node_modules/hypercore-ibrl");
  const manifest = JSON.parse(readFileSync(join(installed, "oclif.manifest.json"), "utf8")) as { commands: object };
  expect(Object.keys(manifest.commands)).toEqual(expect.arrayContaining(["cluster:list", "cluster:metrics"]));
  for (const absent of ["src", "test", "bench", "build"]) expect(() => readFileSync(join(installed, absent))).toThrow("ENOENT");
});

describe("against the real cluster", () => {
  const listed = ({ stdout }: Finished): number => (stdout.match(/^ {2}Beacon ID: {7}[0-9a-f]{16}$/gm) ?? []).length;

  test.each([
    ["separated by a space", [["cluster", "metrics"]]],
    ["separated by a colon", [["cluster:metrics"]]],
    ["and straight from Consul", [["cluster", "metrics", "--consul"]]],
  ])("`cluster metrics` %s lists every node, verified", async (_, [args = []]) => {
    const result = await runHost(...args, "--strict");
    expect({ code: result.code, listed: listed(result) }).toEqual({ code: 0, listed: NODES });
    expect(result.stdout).toMatch(/^IBRL Cluster Metrics:\n={20}\n\nNode: [0-9a-f-]{36}\n/);
  });

  test("a host that separates topics by colons runs it too", async () => {
    makeHost(builtProject(), ":");
    const result = await runHost("cluster:metrics", "--strict");
    expect({ code: result.code, listed: listed(result) }).toEqual({ code: 0, listed: NODES });
    makeHost(builtProject(), " ");
  });

  test("`cluster list --json` comes through the host as it is", async () => {
    const { stdout, stderr, code } = await runHost("cluster", "list", "--json");
    expect({ code, stderr, verified: verifiedIn(stdout) }).toEqual({ code: 0, stderr: "", verified: NODES });
  });
});
