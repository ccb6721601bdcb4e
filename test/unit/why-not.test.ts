/** Why not: every border that is named is one, to the unit: at the value the node is first, one unit beyond it is not. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { projectRoot } from "../../src/dev/project-root.js";
import { WasmEvaluator } from "../../src/policy/wasm-evaluator.js";
import { whyNot } from "../../src/policy/why-not.js";
import { whyNotDocument, whyNotText } from "../../src/commands/views/ranking.js";
import { bareCandidate, candidate, decideOver, evaluator } from "../harness/candidates.js";

const near = () => evaluator({ rules: { max_latency_ms: 100 }, scoring: { latency_weight: 1, ranges: { latency_ms: { best: 0, worst: 200 } } } });

test("the broken rule with value and limit, and the border at which it would be first", async () => {
  const decision = await decideOver([candidate(1, { latencyUs: 96_500 }), candidate(2, { latencyUs: 120_000 }), candidate(3, { latencyUs: 99_000 })], { spawn: near() });
  const answer = await whyNot(decision, "node-2");
  // Scores are whole millionths: 96.5 ms ties with itself, and the tie goes to the smaller key.
  expect(answer).toMatchObject({ standing: { status: "excluded" }, first: { candidate: { node: "node-1" } }, placeIfMet: 3, changes: [{ fact: "latency", from: 120_000, to: 96_499 }] });
  expect(answer && whyNotText(answer)).toBe(
    "node-2 may not be chosen; node-1 is first.\n  test: max_latency_ms: 120 ms > 100 ms\nWith these just met it would be number 3.\n  latency is 120 ms; at 96.499 ms or less it would be first.",
  );
});

test("the first needs nothing, and a node that is no candidate has no answer", async () => {
  const decision = await decideOver([candidate(1)], { spawn: near() });
  expect(await whyNot(decision, "node-1")).toMatchObject({ placeIfMet: 1, changes: [], failures: [] });
  expect(await whyNot(decision, "node-9")).toBeUndefined();
});

test("rules that are no numbers are met too, and what no single value can do is said", async () => {
  const spawn = evaluator({ rules: { required_capabilities: ["gpu"] }, scoring: { price_weight: 1, ranges: { price_per_gb: { best: 0, worst: 1 } } } });
  const decision = await decideOver([candidate(1, { priceMicroUsdPerGb: 8_000, capabilities: ["gpu"] }), bareCandidate(2)], { spawn });
  const answer = await whyNot(decision, "node-2");
  expect(answer?.failures.map(({ result }) => result.rule.name)).toEqual(["verified_only", "required_capabilities"]);
  // At the same price it would tie; whether its key came first is not known, and so not assumed.
  expect(answer).toMatchObject({ placeIfMet: 2, changes: [{ fact: "price", from: undefined, to: 7_999 }] });
  expect(whyNotDocument(answer as NonNullable<typeof answer>)).toMatchObject({ publicKey: null, place: null, scorePpm: null, first: "node-1", changes: [{ from: null }] });
});

test("of a module a border is found too, and no more is said than was seen: it may treat better values otherwise", async () => {
  const spawn = new WasmEvaluator(readFileSync(join(projectRoot(), "nomad/policies/wasm/low-latency.wasm")), "low-latency", { deadlineMs: 60_000 });
  try {
    const answer = await whyNot(await decideOver([candidate(1), candidate(2, { latencyUs: 20_000 }), candidate(3, { latencyUs: 1, alive: false })], { spawn }), "node-2");
    expect(answer && whyNotText(answer)).toBe("node-2 is number 2; node-1 is first.\n  latency is 20 ms; at 9.999 ms it would be first.");
  } finally {
    await spawn.close();
  }
});

test("every border is exact, whatever the cluster", async () => {
  const facts = fc.record({ latencyUs: fc.integer({ min: 0, max: 200_000 }), priceMicroUsdPerGb: fc.integer({ min: 0, max: 50_000 }), reputationPpm: fc.integer({ min: 0, max: 1_000_000 }) });
  const spawn = () => evaluator({ rules: { max_latency_ms: 100, max_price_per_gb: 0.03 }, scoring: { latency_weight: 2, price_weight: 1, reputation_weight: 1 } });
  await fc.assert(
    fc.asyncProperty(fc.array(facts, { minLength: 2, maxLength: 6 }), async (all) => {
      const candidates = all.map((own, i) => candidate(i + 1, own));
      const answer = await whyNot(await decideOver(candidates, { spawn: spawn() }), "node-2");
      if (answer === undefined || answer.failures.length > 0) return;
      for (const { fact, to, higherIsBetter } of answer.changes) {
        const key = ({ latency: "latencyUs", price: "priceMicroUsdPerGb", reputation: "reputationPpm" } as Record<string, string>)[fact];
        if (key === undefined) throw new Error(`${fact} is in no term`);
        const firstAt = async (value: number) => (await decideOver(candidates.map((one) => (one.node === "node-2" ? { ...one, [key]: value } : one)), { spawn: spawn() })).placeOf("node-2") === 1;
        expect(await firstAt(to)).toBe(true);
        expect(await firstAt(to + (higherIsBetter ? -1 : 1))).toBe(false);
      }
    }),
    { numRuns: 40 },
  );
});
