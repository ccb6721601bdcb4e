import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Binary, cacheFolder, findBinary, pinnedVersion } from "../../src/dev/binaries.js";
import { projectRoot } from "../../src/dev/project-root.js";
import type { Progress } from "../../src/dev/progress.js";

let base: string;
let notes: string[];
let progress: Progress;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "binaries-test-"));
  mkdirSync(join(base, "root", "testbed", "consul"), { recursive: true });
  writeFileSync(
    join(base, "root", "testbed", "consul", "go.mod"),
    "module testbed\n\nrequire (\n\tgithub.com/hashicorp/consul/api v1.31.0\n\tgithub.com/hashicorp/consul v1.2.3\n)\n",
  );
  notes = [];
  progress = { note: (text) => notes.push(text), step: () => ({ update: () => {}, done: () => {}, fail: () => {} }) };
});

afterEach(() => rmSync(base, { recursive: true }));

/** An executable shell script. */
function program(path: string, script: string, mode = 0o755): string {
  const file = join(base, path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, mode);
  return file;
}

const consul = (version: string): string => `echo "Consul v${version}"`;

/** Stands in for Go: counts its calls and writes a consul to the path after -o. */
const go = (): string =>
  program("bin/go", `echo call >> ${base}/go-calls; sleep 0.2; while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\\necho Consul v1.2.3\\n' > "$2"; chmod 755 "$2"`);

function find(variables: Record<string, string> = {}): Promise<Binary> {
  const env = { XDG_CACHE_HOME: join(base, "cache"), PATH: `${join(base, "bin")}:/usr/bin:/bin`, ...variables };
  return findBinary("consul", { env, progress, root: join(base, "root") });
}

describe("where consul is found", () => {
  it("is CONSUL_BIN first, then PATH, then the cache, then a build", async () => {
    const own = program("own/consul", consul("9.0.0"));
    const onPath = program("bin/consul", consul("8.0.0"));
    const cached = program("cache/hypercore-ibrl/bin/consul-1.2.3", consul("7.0.0"));
    go();

    expect(await find({ CONSUL_BIN: own })).toEqual({ name: "consul", path: own, version: "9.0.0", source: "environment" });
    expect(await find()).toEqual({ name: "consul", path: onPath, version: "8.0.0", source: "path" });
    rmSync(onPath);
    expect(await find()).toEqual({ name: "consul", path: cached, version: "7.0.0", source: "cache" });
    expect(existsSync(join(base, "go-calls"))).toBe(false);
    rmSync(cached);
    expect(await find()).toEqual({ name: "consul", path: cached, version: "1.2.3", source: "build" });
    expect(await find()).toMatchObject({ source: "cache" });
  });

  it("passes over a program on the PATH that does not answer as Consul, and says so", async () => {
    const other = program("bin/consul", "echo something else");
    program("cache/hypercore-ibrl/bin/consul-1.2.3", consul("1.2.3"));
    expect(await find()).toMatchObject({ source: "cache" });
    expect(notes).toEqual([expect.stringContaining(other)]);
  });

  it("builds again where the cached file does not run", async () => {
    program("cache/hypercore-ibrl/bin/consul-1.2.3", "exit 1");
    go();
    expect(await find()).toMatchObject({ source: "build" });
  });
});

describe("a CONSUL_BIN that cannot be used is an error, whatever else there is", () => {
  beforeEach(() => program("bin/consul", consul("8.0.0")));

  it.each([
    ["is absent", () => join(base, "absent")],
    ["is a folder", () => base],
    ["is not executable", () => program("plain", consul("1.0.0"), 0o644)],
    ["fails", () => program("failing", "exit 3")],
    ["is another program", () => program("nomad", 'echo "Nomad v1.10.5"')],
  ])("when it %s", async (_, make) => {
    const path = make();
    await expect(find({ CONSUL_BIN: path })).rejects.toMatchObject({
      code: "binary-unusable",
      message: expect.stringContaining(`CONSUL_BIN is set to ${path}`),
    });
  });
});

describe("building", () => {
  it("without Go names the three choices", async () => {
    // A PATH with nothing on it, whatever this machine has installed.
    await expect(find({ PATH: join(base, "bin") })).rejects.toMatchObject({
      code: "binary-missing",
      message: expect.stringMatching(/PATH[^]*CONSUL_BIN[^]*Go/),
    });
  });

  it("fails with the compiler's words and leaves neither file nor lock", async () => {
    program("bin/go", "echo github.com/hashicorp/consul/agent >&2; echo 'agent.go:1: no space left on device' >&2; exit 2");
    await expect(find()).rejects.toMatchObject({ code: "build-failed", message: expect.stringContaining("no space left on device") });
    expect(readdirSync(join(base, "cache/hypercore-ibrl/bin"))).toEqual([]);
  });

  it("happens once when two ask at the same time", async () => {
    go();
    const [first, second] = await Promise.all([find(), find()]);
    expect(first).toEqual(second);
    expect(readFileSync(join(base, "go-calls"), "utf8")).toBe("call\n");
    expect(readdirSync(join(base, "cache/hypercore-ibrl/bin"))).toEqual(["consul-1.2.3"]);
  });

  it("takes over the lock of a process that is gone", async () => {
    go();
    const folder = join(base, "cache/hypercore-ibrl/bin");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, ".consul-1.2.3.lock"), JSON.stringify({ pid: process.pid, startedAt: "before", command: "go" }));
    expect(await find()).toMatchObject({ source: "build" });
  });
});

it("the cache follows XDG_CACHE_HOME only where it is absolute", () => {
  expect(cacheFolder({ XDG_CACHE_HOME: "/x", HOME: "/home/a" })).toBe("/x/hypercore-ibrl/bin");
  expect(cacheFolder({ XDG_CACHE_HOME: "x", HOME: "/home/a" })).toBe("/home/a/.cache/hypercore-ibrl/bin");
});

it.each(["consul", "nomad"] as const)("the project pins %s", (name) => {
  expect(pinnedVersion(name, projectRoot())).toMatch(/^\d+\.\d+\.\d+$/);
});
