/** Filter, score, order: what each rule of version 2 does, what unknown means, and that nothing depends on chance. */
import fc from "fast-check";
import type { Candidate, LinkFact } from "../../src/policy/candidate.js";
import type { Decision, Policies } from "../../src/policy/decide.js";
import { NoMatchError, requireMatch } from "../../src/policy/no-match.js";
import { bareCandidate, candidate, decideOver, evaluator } from "../harness/candidates.js";

const names = (decision: Decision) => decision.best(100).map(({ candidate: { node } }) => node);
const standing = (decision: Decision) => Object.fromEntries(decision.all().map(({ candidate: { node }, status }) => [node, status]));
const verdict = (decision: Decision, node: string, rule: string) =>
  decision.reasonsFor(node)?.flatMap(({ reasons }) => reasons.rules).find((result) => result.rule.name === rule)?.verdict;
const link = (facts: Partial<LinkFact>): LinkFact => ({ state: "agreed", latencyUs: undefined, lossPpm: undefined, ...facts });

describe("rules", () => {
  const rules: [string, object, Partial<Candidate>, Partial<Candidate>][] = [
    ["max_latency_ms", { max_latency_ms: 10 }, { latencyUs: 10_000 }, { latencyUs: 10_001 }],
    ["max_jitter_ms", { max_jitter_ms: 0 }, { jitterUs: 0 }, { jitterUs: 1 }],
    ["max_packet_loss", { max_packet_loss: 0 }, { lossPpm: 0 }, { lossPpm: 1 }],
    ["max_queue_depth", { max_queue_depth: 0 }, { queueDepth: 0 }, { queueDepth: 1 }],
    ["max_price_per_gb", { max_price_per_gb: 0 }, { priceMicroUsdPerGb: 0 }, { priceMicroUsdPerGb: 1 }],
    ["min_reputation_score", { min_reputation_score: 0.7 }, { reputationPpm: 700_000 }, { reputationPpm: 699_999 }],
    ["required_capabilities", { required_capabilities: ["vm", "kvm"] }, { capabilities: ["kvm", "vm"] }, { capabilities: ["vm"] }],
    ["max_disputed_links", { max_disputed_links: 1 }, { disputedLinks: 1 }, { disputedLinks: 2 }],
    ["budget", { budget: { expected_gb: 50, max_usd: 0.5 } }, { priceMicroUsdPerGb: 10_000 }, { priceMicroUsdPerGb: 10_001 }],
    ["links[0].max_latency_ms", { links: [{ node: "db", max_latency_ms: 5 }] }, { links: [link({ latencyUs: 5_000 })] }, { links: [link({ latencyUs: 5_001 })] }],
    ["links[0].max_packet_loss", { links: [{ service: "db", max_packet_loss: 1 }] }, { links: [link({ lossPpm: 10_000 })] }, { links: [link({ lossPpm: 10_001 })] }],
    ["anti_affinity", { anti_affinity: { jobs: ["web"] } }, { copies: [0] }, { copies: [1] }],
    ["spread", { spread: { by: "datacenter", max: 2, jobs: ["web"] } }, { copies: [2] }, { copies: [3] }],
  ];
  test.each(rules)("%s is inclusive, and excludes, ranks last or rejects the unknown by mode", async (rule, content, passing, failing) => {
    const unknown = Object.fromEntries(Object.keys(passing).map((key) => [key, key === "links" ? [link({})] : key === "copies" ? [undefined] : undefined]));
    const candidates = [candidate(1, unknown), candidate(2, failing), candidate(3, passing)];
    const enforced = await decideOver(candidates, { spawn: evaluator({ rules: content }) });
    expect(standing(enforced)).toEqual({ "node-1": "excluded", "node-2": "excluded", "node-3": "eligible" });
    expect(["node-1", "node-2", "node-3"].map((node) => verdict(enforced, node, rule))).toEqual(["unknown-fails", "fail", "pass"]);
    const permitted = await decideOver(candidates, { spawn: evaluator({ mode: "permissive", rules: content }) });
    expect(standing(permitted)).toEqual({ "node-1": "eligible", "node-2": "violating", "node-3": "eligible" });
    expect(names(permitted).at(-1)).toBe("node-2");
    expect(verdict(permitted, "node-1", rule)).toBe("unknown-passes");
    expect(permitted.applied[0]?.evaluation.violations.get(rule)).toBe(1);
    expect(enforced.applied[0]?.evaluation.violations.get(rule)).toBe(2);
  });

  test("unknown is handled by subject", async () => {
    const spawn = evaluator({ rules: { max_latency_ms: 10, max_jitter_ms: 10 }, unknown: { latency: "neutral" } });
    const decision = await decideOver([candidate(1, { latencyUs: undefined }), candidate(2, { jitterUs: undefined })], { spawn });
    expect(standing(decision)).toEqual({ "node-1": "eligible", "node-2": "excluded" });
  });

  test("an unknown value without a rule about it excludes nobody", async () => {
    const decision = await decideOver([candidate(1, { latencyUs: undefined, jitterUs: undefined, reputationPpm: undefined })], { spawn: evaluator() });
    expect(standing(decision)).toEqual({ "node-1": "eligible" });
  });

  test("enforce takes verified records only unless told otherwise, permissive the other way round", async () => {
    const candidates = [candidate(1), bareCandidate(2)];
    expect(standing(await decideOver(candidates, { spawn: evaluator() }))["node-2"]).toBe("excluded");
    expect(standing(await decideOver(candidates, { spawn: evaluator({ verified_only: false }) }))["node-2"]).toBe("eligible");
    expect(standing(await decideOver(candidates, { spawn: evaluator({ mode: "permissive" }) }))["node-2"]).toBe("eligible");
    expect(standing(await decideOver(candidates, { spawn: evaluator({ mode: "permissive", verified_only: true }) }))["node-2"]).toBe("violating");
  });

  test("a node that was caught lying is no candidate like others in any mode, and a dead one is none at all", async () => {
    const candidates = [candidate(1, { trust: "pin-conflict" }), candidate(2, { alive: false }), candidate(3)];
    const decision = await decideOver(candidates, { spawn: evaluator({ mode: "permissive" }) });
    expect(standing(decision)).toEqual({ "node-1": "violating", "node-2": "excluded", "node-3": "eligible" });
  });

  test("a disputed link is unknown, refused or believed, as the policy says", async () => {
    const disputed = [candidate(1, { links: [link({ state: "disputed", latencyUs: 1_000 })] }), candidate(2, { links: [link({ latencyUs: 2_000 })] })];
    const links = [{ node: "db", max_latency_ms: 5 }];
    const of = async (content: object) => standing(await decideOver(disputed, { spawn: evaluator({ rules: { links }, ...content }) }))["node-1"];
    expect(await of({})).toBe("excluded");
    expect(await of({ unknown: { link: "neutral" } })).toBe("eligible");
    expect(await of({ unknown: { link: "neutral" }, disputed: "reject" })).toBe("excluded");
    expect(await of({ disputed: "accept" })).toBe("eligible");
  });

  test("the declared reputation counts only where the policy asks for it", async () => {
    const claims = [candidate(1, { reputationPpm: undefined, declaredReputationPpm: 1_000_000 })];
    const rules = { min_reputation_score: 0.9 };
    expect(names(await decideOver(claims, { spawn: evaluator({ rules }) }))).toEqual([]);
    expect(names(await decideOver(claims, { spawn: evaluator({ rules, reputation: "declared" }) }))).toEqual(["node-1"]);
  });
});

describe("scores", () => {
  const scores = async (candidates: Candidate[], scoring: object, more: object = {}) =>
    Object.fromEntries((await decideOver(candidates, { spawn: evaluator({ scoring, ...more }) })).all().map((r) => [r.candidate.node, r.scorePpm]));

  test("prices of half a cent and two cents are far apart where they are the best and the worst", async () => {
    const candidates = [candidate(1, { priceMicroUsdPerGb: 5_000 }), candidate(2, { priceMicroUsdPerGb: 20_000 }), candidate(3, { priceMicroUsdPerGb: 8_000 })];
    expect(await scores(candidates, { price_weight: 3 })).toEqual({ "node-1": 1_000_000, "node-2": 0, "node-3": 800_000 });
  });
  test("scales are made over those that pass: an outlier that was excluded squeezes nobody", async () => {
    const candidates = [candidate(1, { latencyUs: 10_000 }), candidate(2, { latencyUs: 20_000 }), candidate(3, { latencyUs: 10_000_000 })];
    expect(await scores(candidates, { latency_weight: 1 }, { rules: { max_latency_ms: 100 } })).toMatchObject({ "node-1": 1_000_000, "node-2": 0 });
    expect(await scores(candidates, { latency_weight: 1 }, { rules: { max_latency_ms: 100 }, mode: "permissive" })).toMatchObject({ "node-1": 1_000_000, "node-2": 0, "node-3": 0 });
  });
  test("a given range is fixed, clamped, and may point the other way", async () => {
    const candidates = [candidate(1, { queueDepth: 5 }), candidate(2, { queueDepth: 15 }), candidate(3, { queueDepth: 90 })];
    expect(await scores(candidates, { queue_weight: 1, ranges: { queue_depth: { best: 10, worst: 20 } } })).toEqual({ "node-1": 1_000_000, "node-2": 500_000, "node-3": 0 });
    expect(await scores(candidates, { queue_weight: 1, ranges: { queue_depth: { best: 20, worst: 10 } } })).toEqual({ "node-1": 0, "node-2": 500_000, "node-3": 1_000_000 });
  });
  test("the unknown scores 0 where it is rejected and 0.5 where it is neutral", async () => {
    const candidates = [candidate(1), candidate(2, { latencyUs: undefined })];
    expect(await scores(candidates, { latency_weight: 1 })).toEqual({ "node-1": 1_000_000, "node-2": 0 });
    expect(await scores(candidates, { latency_weight: 1 }, { unknown: { latency: "neutral" } })).toEqual({ "node-1": 1_000_000, "node-2": 500_000 });
  });
  test("jitter, loss, links and spread have weights", async () => {
    const near = { jitterUs: 0, lossPpm: 0, links: [link({ latencyUs: 0, state: "here" }), link({ latencyUs: 2_000 })], copies: [0] };
    const far = { jitterUs: 9_000, lossPpm: 9_000, links: [link({ latencyUs: 9_000 }), link({ latencyUs: 0, state: "here" })], copies: [3] };
    const rules = { links: [{ node: "a" }, { service: "b" }], spread: { by: "node", jobs: ["web"] } };
    for (const weight of ["jitter_weight", "loss_weight", "link_weight", "spread_weight"]) {
      expect({ weight, ...(await scores([candidate(1, near), candidate(2, far)], { [weight]: 1 }, { rules })) }).toEqual({ weight, "node-1": 1_000_000, "node-2": 0 });
    }
    const [first] = (await decideOver([candidate(1, near)], { spawn: evaluator({ rules, scoring: { link_weight: 1 } }) })).reasonsFor("node-1") ?? [];
    expect(first?.reasons.terms).toMatchObject([{ value: 2_000 }]); // the farther of the two
  });
  test("preferences decide between equal scores in their order, and fewer decimals make more of them", async () => {
    const candidates = [
      candidate(1, { priceMicroUsdPerGb: 10_100, jitterUs: 5 }), candidate(2, { priceMicroUsdPerGb: 10_000, jitterUs: 9 }),
      candidate(3, { priceMicroUsdPerGb: 10_000, jitterUs: undefined }), candidate(4, { priceMicroUsdPerGb: 90_000 }),
    ];
    const order = async (scoring: object) => names(await decideOver(candidates, { spawn: evaluator({ scoring: { price_weight: 1, ...scoring } }) }));
    expect(await order({})).toEqual(["node-2", "node-3", "node-1", "node-4"]);
    expect(await order({ prefer: ["low_jitter"], decimals: 2 })).toEqual(["node-1", "node-2", "node-3", "node-4"]);
    expect(await order({ prefer: ["low_price", "low_jitter"], decimals: 2 })).toEqual(["node-2", "node-3", "node-1", "node-4"]);
  });
});

describe("two policies", () => {
  test("the candidates satisfy both, and the score is the spawn's", async () => {
    const candidates = [candidate(1, { latencyUs: 5_000, priceMicroUsdPerGb: 30_000 }), candidate(2, { latencyUs: 9_000, priceMicroUsdPerGb: 20_000 }), candidate(3, { latencyUs: 50_000, priceMicroUsdPerGb: 1 })];
    const policies: Policies = {
      cluster: evaluator({ rules: { max_latency_ms: 10 }, scoring: { latency_weight: 1 } }),
      spawn: evaluator({ scoring: { price_weight: 1 } }),
    };
    const decision = await decideOver(candidates, policies);
    expect(decision.best(3).map(({ candidate: { node }, scorePpm }) => [node, scorePpm])).toEqual([["node-2", 1_000_000], ["node-1", 0]]);
  });

  test("a spawn's policy never loosens the cluster's, whatever either says", async () => {
    const content = fc.record({
      mode: fc.constantFrom("enforce", "permissive"),
      rules: fc.record({ max_latency_ms: fc.integer({ min: 0, max: 30 }), max_price_per_gb: fc.constantFrom(0.005, 0.02) }, { requiredKeys: [] }),
      scoring: fc.record({ price_weight: fc.integer({ min: 0, max: 2 }), latency_weight: fc.integer({ min: 0, max: 2 }) }),
      verified_only: fc.boolean(),
    });
    const rank = { eligible: 0, violating: 1, excluded: 2 };
    await fc.assert(
      fc.asyncProperty(content, content, fc.array(someFacts(), { maxLength: 8 }), async (cluster, spawn, facts) => {
        const candidates = facts.map((own, i) => candidate(i + 1, own));
        const alone = standing(await decideOver(candidates, { cluster: evaluator(cluster) }));
        const both = standing(await decideOver(candidates, { cluster: evaluator(cluster), spawn: evaluator(spawn) }));
        for (const node of Object.keys(alone)) {
          expect(rank[both[node] ?? "eligible"]).toBeGreaterThanOrEqual(rank[alone[node] ?? "excluded"]);
        }
      }),
    );
  });
});

test("no match under enforce is an error that lists each node's broken rules with value and limit", async () => {
  const spawn = evaluator({ name: "strict", rules: { max_latency_ms: 100, max_price_per_gb: 0.01, required_capabilities: ["gpu"] } });
  const decision = await decideOver([candidate(1, { latencyUs: 120_000, capabilities: ["gpu"] }), candidate(2, { latencyUs: undefined, priceMicroUsdPerGb: 25_000, capabilities: ["vm"] })], { spawn });
  expect(decision.best(1)).toEqual([]);
  expect(() => requireMatch(decision)).toThrow(NoMatchError);
  expect(() => requireMatch(decision)).toThrow(
    "no node satisfies policy strict; nothing is placed\n" +
      "node-1: max_latency_ms: 120 ms > 100 ms\n" +
      "node-2: required_capabilities: missing gpu; max_latency_ms: unknown (at most 100 ms); max_price_per_gb: $0.025/GB > $0.01/GB",
  );
});

test("the order is the same whatever order the nodes came in, and the best few are its beginning", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(someFacts(), { minLength: 1, maxLength: 12 }), fc.infiniteStream(fc.nat()), fc.nat({ max: 5 }), async (facts, random, count) => {
      const candidates = facts.map((own, i) => candidate(i + 1, own));
      const shuffled = candidates.map((own) => ({ own, at: random.next().value as number })).sort((a, b) => a.at - b.at).map(({ own }) => own);
      const spawn = () => evaluator({ mode: "permissive", rules: { max_latency_ms: 15 }, scoring: { latency_weight: 1, price_weight: 1, decimals: 1, prefer: ["high_reputation"] } });
      const [one, other] = [await decideOver(candidates, { spawn: spawn() }), await decideOver(shuffled, { spawn: spawn() })];
      expect(other.all()).toEqual(one.all());
      expect(other.best(count)).toEqual(one.all().slice(0, count).filter(({ status }) => status !== "excluded"));
    }),
  );
});

test("equal scores go by the whole key, and nodes without one come last", async () => {
  const same = [3, 1, 2].map((n) => candidate(n));
  expect(names(await decideOver([bareCandidate(0), ...same], { spawn: evaluator({ mode: "permissive", unknown: { latency: "reject" }, scoring: { queue_weight: 1 } }) }))).toEqual(["node-1", "node-2", "node-3", "node-0"]);
  const equal = { unknown: Object.fromEntries(["latency", "price", "reputation", "queue_depth"].map((subject) => [subject, "neutral"])), scoring: { jitter_weight: 1, ranges: { jitter_ms: { best: 0, worst: 2 } } } };
  expect(names(await decideOver([bareCandidate(0), ...same], { spawn: evaluator({ mode: "permissive", ...equal }) }))).toEqual(["node-1", "node-2", "node-3", "node-0"]);
});

function someFacts(): fc.Arbitrary<Partial<Candidate>> {
  return fc.record({
    latencyUs: fc.option(fc.integer({ min: 0, max: 30_000 }), { nil: undefined }),
    priceMicroUsdPerGb: fc.option(fc.constantFrom(0, 10_000, 30_000), { nil: undefined }),
    reputationPpm: fc.option(fc.constantFrom(0, 500_000, 1_000_000), { nil: undefined }),
    trust: fc.constantFrom("pinned", "first-use", "no-sidecar", "equivocation"),
    alive: fc.constantFrom(true, false, undefined),
  });
}
