/** WebAssembly policies as a user hands them to the commands. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../src/dev/project-root.js";
import { runCli } from "../harness/built-cli.js";
import { LOOP_FOREVER, type ModuleParts, wasmModule } from "../harness/wasm-bytes.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ibrl-policy-modules-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const check = (path: string, ...flags: string[]) => runCli(["policy", "check", path, ...flags], {});
function module(parts: ModuleParts): string {
  const path = join(folder, "mine.wasm");
  writeFileSync(path, wasmModule(parts));
  return path;
}

test.each([["low-latency", "ibrl"], ["high-trust", "ibrl"], ["short-queue", "opa"]])("policy check: the example %s is a module of profile %s", async (name, profile) => {
  const { code, stdout, stderr } = await check(join(projectRoot(), `nomad/policies/wasm/${name}.wasm`));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^${name}: module, profile ${profile}, enforce, sha256 [0-9a-f]{64}\\n$`));
});

test.each<[string, ModuleParts, RegExp]>([
  ["imports something", { imports: [{ module: "env", name: "abort" }] }, /mine\.wasm is no policy that can be used:\n +the file is WebAssembly that may not run: the module imports env\.abort/],
  ["lacks an export", { evaluate: null }, /the file gives no verdicts \(no-start\): exports no function `evaluate/],
  ["never answers", { evaluate: LOOP_FOREVER }, /the file gives no verdicts \(deadline\): no answer within 1000 ms/],
])("policy check: a module that %s is refused with the reason, and the command ends", async (_, parts, said) => {
  const { code, stdout, stderr } = await check(module(parts), "--json");
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: "policy-file", message: expect.stringMatching(said) as string } });
});
