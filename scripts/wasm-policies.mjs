// Builds nomad/policies/wasm/*.ts (AssemblyScript) and *.c (clang and lld) to the modules beside them, which are committed;
// `--check` fails where one differs from its source's. Where there is no clang the C module is left as it is, and said.
// `--rego` builds the Rego one too, with Open Policy Agent as testbed/opa pins it: Go takes minutes to compile that, once, so
// test:long does it. `--opa PROGRAM` takes one that is there.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./children.mjs";

const folder = join(root, "nomad", "policies", "wasm");
const scratch = mkdtempSync(join(tmpdir(), "hypercore-wasm-"));
const check = process.argv.includes("--check");
const withRego = process.argv.includes("--rego");
const opa = process.argv.includes("--opa") ? process.argv[process.argv.indexOf("--opa") + 1] : withRego ? join(scratch, "opa") : undefined;
const bundle = join(scratch, "bundle.tar.gz");
const built = (name) => join(scratch, `${name}.wasm`);

const BUILDS = [
  ...["low-latency", "low-price"].map((name) => ({
    name, program: process.execPath,
    args: [join(root, "node_modules/assemblyscript/bin/asc.js"), join(folder, `${name}.ts`), "--use", "abort=", "--runtime", "stub", "--maximumMemory", "64", "-O2", "--noAssert", "-o", built(name)],
  })),
  {
    name: "high-trust", program: "clang", compiler: "clang",
    args: ["--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--max-memory=4194304", "-Wl,--strip-all", "-o", built("high-trust"), join(folder, "high-trust.c")],
  },
  ...(opa === undefined ? [] : [{
    name: "short-queue", program: opa,
    // The module names its source as it was given: from its own folder, so that it is the same wherever it is built.
    args: ["build", "-t", "wasm", "-e", "ibrl/verdicts", "-o", bundle, "short-queue.rego"],
    ...(withRego ? { first: ["go", "-C", join(root, "testbed", "opa"), "build", "-o", opa, "github.com/open-policy-agent/opa"] } : {}),
    unpack: ["tar", "-xzf", bundle, "-C", scratch, "--transform=s,.*policy.wasm$,short-queue.wasm,", "/policy.wasm"],
  }]),
];

try {
  for (const { name, program, args, compiler, first, unpack } of BUILDS) {
    let ended = { status: 0 };
    for (const [command, ...given] of [first, [program, ...args], unpack].filter((step) => step !== undefined)) {
      if (ended.status === 0) ended = spawnSync(command, given, { cwd: folder, encoding: "utf8", env: { ...process.env, GOWORK: "off" } });
    }
    const { status, stderr, error } = ended;
    if (error?.code === "ENOENT" && compiler !== undefined) {
      console.error(`${name}.wasm: no ${program} here: not built`);
      continue;
    }
    if (status !== 0) throw new Error(`${name}: ${error?.message ?? stderr}`);
    const module = readFileSync(built(name));
    const target = join(folder, `${name}.wasm`);
    if (!check) writeFileSync(target, module);
    // Another release of clang writes other bytes for the same policy: the test compares what it decides.
    else if (compiler === undefined && Buffer.compare(module, readFileSync(target)) !== 0) {
      console.error(`${name}.wasm is not what ${name}'s source gives: node scripts/wasm-policies.mjs`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
