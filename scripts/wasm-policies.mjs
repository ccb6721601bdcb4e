// Builds nomad/policies/wasm/*.ts (AssemblyScript) and *.c (clang and lld) to the modules beside them, which are committed;
// `--check` fails where one differs from its source's. Where there is no clang the C module is left as it is, and said.
// `--opa PROGRAM` builds the Rego one too (Open Policy Agent; it takes minutes to build, so test:long does that).
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./children.mjs";

const folder = join(root, "nomad", "policies", "wasm");
const scratch = mkdtempSync(join(tmpdir(), "hypercore-wasm-"));
const check = process.argv.includes("--check");
const opa = process.argv[process.argv.indexOf("--opa") + 1];
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
  ...(process.argv.includes("--opa") ? [{ name: "short-queue", program: "sh", args: ["-c", `cd ${scratch} && "${opa}" build -t wasm -e ibrl/verdicts -o b.tar.gz "${join(folder, "short-queue.rego")}" && tar xzf b.tar.gz --strip-components=0 -P --transform 's,^/,,' && cp policy.wasm ${built("short-queue")}`] }] : []),
];

try {
  for (const { name, program, args, compiler } of BUILDS) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
    if (error?.code === "ENOENT") {
      console.error(`${name}.wasm: no ${program} here: not built`);
      continue;
    }
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
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
