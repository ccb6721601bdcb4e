/** WebAssembly modules as policies: each example equals the JSON file beside it, and decisions by one are recorded and replayed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { projectRoot } from "../../src/dev/project-root.js";
import type { Decision } from "../../src/policy/decide.js";
import { DECISION } from "../../src/policy/decision-codec.js";
import { openDecision, sealDecision } from "../../src/policy/decision-document.js";
import type { Evaluator } from "../../src/policy/evaluator.js";
import { requireMatch } from "../../src/policy/no-match.js";
import { openPolicy } from "../../src/policy/open-policy.js";
import { replay } from "../../src/policy/replay.js";
import { bareCandidate, candidate, decideOver, evaluator } from "../harness/candidates.js";
import { identity } from "../harness/records.js";
import { onlyOne, OP, wasmModule } from "../harness/wasm-bytes.js";

const opened: Evaluator[] = [];
afterEach(async () => {
  for (const policy of opened.splice(0)) await policy.close?.();
});
function example(file: string): Evaluator {
  const policy = openPolicy(readFileSync(join(projectRoot(), "nomad/policies/wasm", file)), file.replace(".wasm", ""), { deadlineMs: 60_000 });
  if (!policy.ok) throw new Error(JSON.stringify(policy.problems));
  opened.push(policy.evaluator);
  return policy.evaluator;
}

const by = { node: "node-1", datacenter: "dc1" };
/** Around the limit as often as anywhere, and unknown. */
const around = (limit: number, max: number) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: limit }) },
    { weight: 2, arbitrary: fc.constantFrom(0, limit - 1, limit, limit + 1) },
    { weight: 1, arbitrary: fc.integer({ min: limit, max }) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
const anyCandidates = fc.array(
  fc.record({
    n: fc.integer({ min: 1, max: 250 }), trust: fc.oneof({ weight: 6, arbitrary: fc.constant("pinned" as const) }, { weight: 1, arbitrary: fc.constantFrom(...TRUST_STATES) }), alive: fc.constantFrom(true, true, true, undefined, false),
    latencyUs: around(50_000, 1e9), jitterUs: around(10_000, 1e9), lossPpm: around(5_000, 1_000_000), queueDepth: around(20, 0xffff_ffff), priceMicroUsdPerGb: around(50_000, 1e12),
    reputationPpm: around(200_000, 1_000_000).map((value) => (value === undefined ? undefined : 1_000_000 - value)), workloads: around(3, 100),
    capabilities: fc.option(fc.uniqueArray(fc.constantFrom("container", "vm", "gpu-h100", "kvm"), { maxLength: 4 }), { nil: undefined }),
  }).map(({ n, ...facts }) => candidate(n, facts)),
  { minLength: 3, maxLength: 40 },
).map((all) => [...new Map([bareCandidate(251), ...all].map((one) => [one.node, one])).values()]);

/** What both say of everybody; the excluded are in the order of their keys, and their scores count for nothing. */
const standings = (decision: Decision) =>
  decision.all().map(({ place, candidate: { node }, status, scorePpm }) => ({ place, node, status, scorePpm: status === "excluded" ? null : scorePpm }));

test.each(["low-latency", "low-price", "high-trust", "short-queue"])("%s.wasm: the same verdicts, order and scores, to the millionth, as the JSON policy beside it", async (name) => {
  const [module, file] = [example(`${name}.wasm`), example(`${name}.json`)];
  const seen = { eligible: 0, excluded: 0 };
  await fc.assert(
    fc.asyncProperty(anyCandidates, async (candidates) => {
      const [byModule, byFile] = await Promise.all([module, file].map((spawn) => decideOver(candidates, { spawn })));
      expect(standings(byModule as Decision)).toEqual(standings(byFile as Decision));
      seen.eligible += byFile?.count("eligible") ?? 0;
      seen.excluded += byFile?.count("excluded") ?? 0;
    }),
    { numRuns: 150 },
  );
  expect(Math.min(seen.eligible, seen.excluded)).toBeGreaterThan(100);
}, 120_000);

const NODES = [candidate(1), candidate(2, { latencyUs: 60_000 }), candidate(3, { alive: false }), bareCandidate(4), candidate(5, { latencyUs: 2_000 })];

test("a node that is down or not verified is excluded whatever the module says; the module's reasons stand with its verdicts", async () => {
  const decision = await decideOver(NODES, { spawn: example("low-latency.wasm") });
  expect(requireMatch(decision).best(9).map(({ candidate: { node }, scorePpm }) => [node, scorePpm])).toEqual([["node-5", 945_000], ["node-1", 825_000]]);
  const failed = (node: string) => decision.reasonsFor(node)?.[0]?.reasons.rules.filter(({ verdict }) => verdict.endsWith("fail") || verdict.endsWith("fails")).map(({ rule, note }) => [rule.name, note]);
  expect(failed("node-2")).toEqual([["module", "latency 60000 us > 50000 us"]]);
  expect(failed("node-3")).toEqual([["alive", undefined]]);
  expect(failed("node-4")).toEqual([["verified_only", "no-sidecar"], ["module", "not verified"]]);
  expect(decision.applied[0]?.evaluation.violations).toEqual(new Map([["alive", 1], ["verified_only", 1], ["module", 2]]));
});

test("a module as the cluster's policy: a spawn's file cannot loosen it, and the score is the spawn's", async () => {
  const decision = await decideOver(NODES, { cluster: example("low-latency.wasm"), spawn: evaluator({ mode: "permissive", scoring: { price_weight: 1, ranges: { price_per_gb: { best: 0, worst: 0.04 } } } }) });
  expect(decision.best(9).map(({ candidate: { node }, scorePpm }) => [node, scorePpm])).toEqual([["node-1", 750_000], ["node-5", 750_000]]);
});

test("a decision record carries the module's hash, verdicts, scores and reasons, and a replay runs the module again", async () => {
  const module = example("low-latency.wasm");
  const keys = new KeyAdmission();
  const { id, document } = sealDecision(await decideOver(NODES, { spawn: module }), by, identity(1), keys);
  const read = openDecision(id, Buffer.from(document), keys);
  if (!read.ok) throw new Error(read.detail);
  const { record } = read.signed;
  expect(record.policies).toEqual([expect.objectContaining({ name: "low-latency", mode: "enforce", hash: module.identity.hash })]);
  expect(record.policies[0]).not.toHaveProperty("file");
  expect(record.candidates.map(({ facts: { node }, scorePpm, termScoresPpm, said }) => [node, scorePpm, termScoresPpm, said])).toEqual([
    ["node-5", 945_000, [945_000], []],
    ["node-1", 825_000, [825_000], []],
    ["node-2", 0, [0], ["latency 60000 us > 50000 us"]],
    ["node-3", 825_000, [825_000], []],
    ["node-4", 0, [0], ["not verified"]],
  ]);
  expect(await replay(record, async () => module)).toMatchObject({ ok: true, same: true });
  expect(await replay(record)).toEqual({ ok: false, reason: expect.stringContaining(`${module.identity.hash}) is not at hand`) });
  expect(await replay(record, async () => example("low-price.wasm"))).toEqual({ ok: false, reason: expect.stringContaining("the record says") });
  const tampered = { ...record, candidates: record.candidates.map((one) => (one.facts.node === "node-2" ? { ...one, said: ["it was Tuesday"] } : one)) };
  expect(await replay(DECISION.decode(DECISION.encode(tampered)), async () => module)).toMatchObject({ ok: true, same: false, differences: [expect.stringContaining("it was Tuesday")] });
});

test("a reason that could rewrite a terminal, or is no Unicode, is recorded without what does it", async () => {
  const rude = Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0x67, 0xff, 0x0a]);
  const policy = openPolicy(wasmModule(onlyOne([OP.unreachable], rude)), "rude", { deadlineMs: 60_000 });
  if (!policy.ok) throw new Error("it was refused");
  opened.push(policy.evaluator);
  const decision = await decideOver([candidate(1)], { spawn: policy.evaluator });
  expect(decision.reasonsFor("node-1")?.[0]?.reasons.said).toEqual(["\ufffd[2Jg\ufffd\ufffd"]);
  expect(() => sealDecision(decision, by, identity(1), new KeyAdmission())).not.toThrow();
});

test("openPolicy knows a module by how it begins; one that may not run is refused with the reason, and nothing is run", () => {
  expect(openPolicy(wasmModule({ memory: { min: 1 } }), "m")).toEqual({ ok: false, problems: [{ path: "", message: expect.stringMatching(/^is WebAssembly that may not run: the module has a memory without a maximum/) }] });
  expect(openPolicy(Buffer.from("\0as"), "m")).toEqual({ ok: false, problems: [{ path: "", message: expect.stringContaining("is not JSON") }] });
  expect(openPolicy(wasmModule(), "m")).toMatchObject({ ok: true, evaluator: { identity: { name: "m", mode: "enforce" } } });
});
