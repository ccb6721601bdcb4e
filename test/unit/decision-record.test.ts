/** Decision records: what is in them, that they replay to the same bytes, and that what was changed is found out. */
import fc from "fast-check";
import { openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { type Candidate, LINK_FACT_STATES } from "../../src/policy/candidate.js";
import { decide } from "../../src/policy/decide.js";
import { DECISION, fitRecord } from "../../src/policy/decision-codec.js";
import { openDecision, sealDecision } from "../../src/policy/decision-document.js";
import { type DecisionRecord, recordOf } from "../../src/policy/decision-record.js";
import type { Evaluator } from "../../src/policy/evaluator.js";
import { replay } from "../../src/policy/replay.js";
import { bareCandidate, candidate, decideOver, evaluator } from "../harness/candidates.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS } from "../harness/records.js";

const keys = new KeyAdmission();
const by = { node: "node-1", datacenter: "dc1" };
const STRICT = {
  rules: { max_latency_ms: 50, max_jitter_ms: 4, links: [{ node: "db-1", max_latency_ms: 5 }], spread: { by: "node", max: 1, jobs: ["web"] } },
  scoring: { latency_weight: 1 / 3, price_weight: 2, jitter_weight: 0.1, link_weight: 1, prefer: ["low_price"] },
};
const facts = (): fc.Arbitrary<Candidate> =>
  fc.record({
    n: fc.integer({ min: 1, max: 250 }), latencyUs: unknownOr(90_000), jitterUs: unknownOr(9_000), lossPpm: unknownOr(1_000_000), queueDepth: unknownOr(300),
    priceMicroUsdPerGb: unknownOr(1e12), reputationPpm: unknownOr(1_000_000), declaredReputationPpm: unknownOr(1_000_000), workloads: unknownOr(10), disputedLinks: unknownOr(4),
    trust: fc.constantFrom(...TRUST_STATES), alive: fc.option(fc.boolean(), { nil: undefined }),
    capabilities: fc.option(fc.uniqueArray(fc.constantFrom("vm", "container", "tpu", "zz"), { maxLength: 3 }).map((names) => names.sort()), { nil: undefined }),
    link: fc.record({ state: fc.constantFrom(...LINK_FACT_STATES), latencyUs: unknownOr(9_000), lossPpm: unknownOr(1_000_000) }),
    copies: unknownOr(3), datacenter: fc.constantFrom("dc1", "dc2"),
  }).map(({ n, link, copies, ...rest }) => candidate(n, { ...rest, links: [link], copies: [copies] }));
const unknownOr = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: undefined });
const distinct = (all: Candidate[]) => [...new Map(all.map((one) => [one.node, one])).values()];

async function record(candidates: Candidate[], content: object = STRICT): Promise<DecisionRecord> {
  return recordOf(await decideOver(candidates, { cluster: evaluator({ name: "base", rules: { max_queue_depth: 250 } }), spawn: evaluator(content) }, { job: "web" }), by);
}

test("whatever the facts, a record survives its encoding, and replays to the same bytes from those bytes alone", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(facts(), { maxLength: 12 }), fc.constantFrom("enforce", "permissive"), async (candidates, mode) => {
      const made = await record(distinct(candidates), { ...STRICT, mode });
      const bytes = DECISION.encode(made);
      const read = DECISION.decode(bytes);
      expect(Buffer.compare(DECISION.encode(read), bytes)).toBe(0);
      expect(read.candidates).toEqual(made.candidates);
      expect(await replay(read)).toMatchObject({ ok: true, same: true, differences: [] });
    }),
    { numRuns: 60 },
  );
});

test("the record holds policies, rules, limits, each verdict, each term, the order, and the hashes of the sealed inputs", async () => {
  const nodes = [fullView({ name: "node-1", key: 1 }), fullView({ name: "node-2", key: 2, beacon: { latency: { us: 120_000, source: "measured" } } }), bareView("node-3")];
  const spawn = evaluator({ name: "near", rules: { max_latency_ms: 100 }, scoring: { latency_weight: 1 } });
  const made = recordOf(await decide({ nodes, policies: { spawn }, nowMs: NOW_MS, request: { job: "web" } }), by);
  expect(made).toMatchObject({ node: "node-1", datacenter: "dc1", decidedAtMs: NOW_MS, job: "web", counts: { eligible: 1, violating: 0, excluded: 2 } });
  expect(made.policies).toEqual([{
    role: "spawn", name: "near", mode: "enforce", hash: spawn.identity.hash, file: spawn.file.bytes,
    rules: [
      { name: "alive", unit: "yes-no", sense: "min", limit: 1, unknown: "neutral" },
      { name: "verified_only", unit: "yes-no", sense: "min", limit: 1, unknown: "reject" },
      { name: "max_latency_ms", unit: "us", sense: "max", limit: 100_000, unknown: "reject" },
    ],
    terms: [{ name: "latency", unit: "us", weight: 1, best: 12_350, worst: 12_350, unknown: "reject" }],
  }]);
  expect(made.candidates.map(({ facts: { node }, status, verdicts, termScoresPpm, scorePpm }) => ({ node, status, verdicts, termScoresPpm, scorePpm }))).toEqual(
    expect.arrayContaining([
      { node: "node-1", status: "eligible", verdicts: ["pass", "pass", "pass"], termScoresPpm: [1_000_000], scorePpm: 1_000_000 },
      { node: "node-3", status: "excluded", verdicts: ["unknown-passes", "fail", "unknown-fails"], termScoresPpm: [0], scorePpm: 0 },
    ]),
  );
  expect(made.candidates[0]?.facts).toMatchObject({ node: "node-1", beaconHash: nodes[0]?.beacon?.hash, stateHash: nodes[0]?.state?.hash });
});

test("why a workload had to move is signed with the decision that moves it, decides nothing, and replays", async () => {
  const move = { from: "node-9", cause: "policy", broken: ["max_latency_ms: 120 ms > 100 ms"], brokenForMs: 61_000 };
  for (const reason of [move, { from: "node-9", cause: "failed", broken: [] }]) {
    const made = await decideOver([candidate(1), candidate(2)], { spawn: evaluator() }, { job: "web", move: reason });
    const { id, document, signed } = sealDecision(made, by, identity(1), keys);
    expect(openDecision(id, Buffer.from(document), keys)).toMatchObject({ ok: true, signed: { record: { move: reason } } });
    expect(await replay(signed.record)).toMatchObject({ ok: true, same: true });
    const { move: kept, ...rest } = signed.record;
    expect(kept).toEqual(reason);
    const without = await decideOver([candidate(1), candidate(2)], { spawn: evaluator() }, { job: "web" });
    expect(recordOf(without, by)).toEqual(rest);
  }
});

describe("sealed, under its own ID", () => {
  const sealed = async () => sealDecision(await decideOver([candidate(1), bareCandidate(2)], { spawn: evaluator() }), by, identity(1), keys);
  const bytes = (text: string) => Buffer.from(text);

  test("opens to the same record, and the ID is the hash of what was signed", async () => {
    const { id, key, document, signed } = await sealed();
    expect(key).toBe(`ibrl/v1/decisions/${id}`);
    expect(signed.hash.startsWith(id)).toBe(true);
    expect(openDecision(id, bytes(document), keys)).toMatchObject({ ok: true, id, signed: { record: { counts: { eligible: 1, excluded: 1 } } } });
    expect(JSON.parse(document)).toMatchObject({ v: 1, decision: { id, chosen: "node-1", node: "node-1", policies: [{ name: "test" }] } });
  });
  test("another decision in its place, other readable words, other bytes: each is refused by name", async () => {
    const { id, document } = await sealed();
    const other = sealDecision(await decideOver([candidate(5)], { spawn: evaluator() }), by, identity(1), keys);
    expect(openDecision(id, bytes(other.document), keys)).toMatchObject({ ok: false, reason: "wrong-node" });
    expect(openDecision(id, bytes(document.replace('"chosen": "node-1"', '"chosen": "node-2"')), keys)).toMatchObject({ ok: false, reason: "readable-mismatch" });
    expect(openDecision(id, bytes(document.replace(/"sealed": "(....)/, '"sealed": "AAAA')), keys)).toMatchObject({ ok: false });
    expect(openDecision(id, bytes("{}"), keys)).toMatchObject({ ok: false, reason: "malformed-envelope" });
    expect(openDecision(id, bytes("{"), keys)).toMatchObject({ ok: false, reason: "malformed-envelope" });
  });
});

describe("a record that says something else than its policies do does not replay", () => {
  const changes: [string, (made: DecisionRecord) => DecisionRecord][] = [
    ["a score", (made) => ({ ...made, candidates: made.candidates.map((one, i) => (i === 1 ? { ...one, scorePpm: one.scorePpm + 1 } : one)) })],
    ["the order", (made) => ({ ...made, candidates: [...made.candidates].reverse() })],
    ["a fact", (made) => ({ ...made, candidates: made.candidates.map((one, i) => (i === 1 ? { ...one, facts: { ...one.facts, latencyUs: 1 } } : one)) })],
    ["a verdict", (made) => ({ ...made, candidates: made.candidates.map((one, i) => (i === 2 ? { ...one, verdicts: one.verdicts.map(() => "pass" as const) } : one)) })],
    ["a limit", (made) => ({ ...made, policies: made.policies.map((policy) => ({ ...policy, rules: policy.rules.map((rule) => ({ ...rule, limit: rule.limit + 1 })) })) })],
  ];
  test.each(changes)("%s", async (_, change) => {
    const made = await record([1, 2, 3].map((n) => candidate(n, { latencyUs: n * 20_000, links: [{ state: "agreed", latencyUs: 1, lossPpm: 0 }], copies: [0] })));
    expect(await replay(made)).toMatchObject({ ok: true, same: true });
    const result = await replay(change(made));
    expect(result).toMatchObject({ ok: true, same: false });
    expect(result.ok && result.differences.length).toBeGreaterThan(0);
  });
  test("another file than its hash says, or a module that is not at hand", async () => {
    const made = await record([]);
    const swapped = { ...made, policies: made.policies.map((policy) => ({ ...policy, file: evaluator({ name: "other" }).file.bytes })) };
    expect(await replay(swapped)).toMatchObject({ ok: false, reason: expect.stringContaining("the record says") as string });
    const without = { ...made, policies: made.policies.map(({ role, name, mode, hash, rules, terms }) => ({ role, name, mode, hash, rules, terms })) };
    expect(await replay(without)).toMatchObject({ ok: false, reason: expect.stringContaining("not at hand") as string });
    const brought: Record<string, Evaluator> = { base: evaluator({ name: "base", rules: { max_queue_depth: 250 } }), test: evaluator(STRICT) };
    expect(await replay(without, async ({ name }) => brought[name])).toMatchObject({ ok: true });
  });
});

describe("more candidates than fit", () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) =>
    candidate(1, { node: `node-${String(i)}`, publicKey: i.toString(16).padStart(64, "0"), latencyUs: (i * 7_919) % 60_000, priceMicroUsdPerGb: i * 13, links: [{ state: "agreed", latencyUs: 1_000, lossPpm: 0 }], copies: [0] }));

  test("complete as far as they fit, in order; then brief, by one hash; and still replayed to the same bytes", async () => {
    const whole = await record(many(3_000));
    const fitted = fitRecord(whole);
    const sealedBytes = seal(DECISION, fitted, identity(1));
    expect(sealedBytes.length).toBeLessThanOrEqual(320 * 1024);
    expect(Math.ceil((sealedBytes.length * 4) / 3)).toBeLessThan(512 * 1024 - 4_096);
    const complete = fitted.candidates.length;
    expect(complete).toBeGreaterThan(1_000);
    expect(fitted.rest?.brief).toHaveLength(3_000 - complete);
    expect(fitted.candidates).toEqual(whole.candidates.slice(0, complete));
    const last = whole.candidates.at(-1);
    expect(fitted.rest?.brief.at(-1)).toEqual({ beaconId: last?.facts.publicKey?.slice(0, 16), status: "excluded", broken: "max_latency_ms" });
    const opened = openStatement(DECISION, sealedBytes, keys);
    expect(opened.ok && (await replay(opened.signed.record))).toMatchObject({ ok: true, same: true, differences: [] });
  });
  test("one that fits is left as it is", async () => {
    const whole = await record(many(50));
    expect(fitRecord(whole)).toBe(whole);
  });
});
