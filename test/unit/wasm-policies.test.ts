/** The example policies in nomad/policies/wasm, as they are committed: each gives verdicts, batch after batch. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { projectRoot } from "../../src/dev/project-root.js";
import { decodeVerdicts, encodeBatch } from "../../src/policy/wasm-abi.js";
import type { WasmCandidate } from "../../src/policy/wasm-candidate.js";
import { WasmHost } from "../../src/policy/wasm-host.js";

const NAMES = ["low-latency", "low-price", "high-trust", "short-queue"];
const KNOWN: WasmCandidate = {
  node: "node-1", datacenter: "dc1", verified: true, alive: true, latencyUs: 400, latencySource: "measured", jitterUs: 100, lossPpm: 0,
  queueDepth: 3, priceMicroUsdPerGb: 10_000, reputationPpm: 900_000, declaredReputationPpm: 1_000_000, workloads: 0, capabilities: ["container"],
};
const hostFor = (name: string): WasmHost => new WasmHost(readFileSync(join(projectRoot(), `nomad/policies/wasm/${name}.wasm`)), { deadlineMs: 30_000 });

test.each(NAMES)("%s: one worker answers batch after batch, none and many candidates", async (name) => {
  const host = hostFor(name);
  try {
    expect(await host.evaluate([])).toEqual([]);
    const first = await host.evaluate([KNOWN, { ...KNOWN, verified: false }]);
    expect(first).toEqual([{ pass: true, scorePpm: expect.any(Number), reason: "" }, { pass: false, scorePpm: 0, reason: "not verified" }]);
    expect(await host.evaluate([KNOWN, { ...KNOWN, verified: false }])).toEqual(first); // it remembers nothing
    const many = await host.evaluate(Array.from({ length: 1_000 }, () => KNOWN));
    expect(many).toEqual(Array.from({ length: 1_000 }, () => first[0]));
  } finally {
    await host.close();
  }
}, 60_000);

const clangIsHere = spawnSync("clang", ["--version"]).status === 0;
(clangIsHere ? test : test.skip)("high-trust.c, compiled here with clang and lld, decides what the committed module decides", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "hypercore-test-wasm-"));
  const module = join(scratch, "high-trust.wasm");
  const source = join(projectRoot(), "nomad/policies/wasm/high-trust.c");
  const flags = ["--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-Wl,--max-memory=4194304"]; // as the source says
  const hosts: WasmHost[] = [];
  try {
    expect(spawnSync("clang", [...flags, "-o", module, source], { encoding: "utf8" })).toMatchObject({ status: 0 });
    hosts.push(new WasmHost(readFileSync(module)), hostFor("high-trust"));
    const candidates = [KNOWN, { ...KNOWN, reputationPpm: 799_999 }, { ...KNOWN, lossPpm: 5_001 }, { ...KNOWN, verified: false }];
    const [here, committed] = await Promise.all(hosts.map((host) => host.evaluate(candidates)));
    expect(here).toEqual(committed);
    expect(here?.map(({ pass }) => pass)).toEqual([true, false, false, false]);
  } finally {
    await Promise.all(hosts.map((host) => host.close()));
    rmSync(scratch, { recursive: true });
  }
}, 60_000);

test("unknown is -1 in the batch and nothing else is", () => {
  const batch = Buffer.from(encodeBatch([{ node: "n", datacenter: "d", verified: true, latencyUs: 0, capabilities: [] }]));
  expect([0, 8, 16].map((at) => batch.readBigInt64LE(16 + at))).toEqual([0n, -1n, -1n]);
});

test("any bytes in a module's memory are verdicts or an AbiError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(300), fc.nat(300), fc.nat(8), (memory, at, length, count) => {
      try {
        return decodeVerdicts(memory, at, length, count).length === count;
      } catch (error) {
        return error instanceof Error && error.name === "AbiError";
      }
    }),
  );
});
