/** The ancestor's files score as the ancestor's formula says, node by node. */
import { bareCandidate, candidate, decideOver, policyFile } from "../harness/candidates.js";
import { JsonEvaluator } from "../../src/policy/json-evaluator.js";

interface Node {
  latencyMs: number;
  price: number;
  reputation: number;
  queue: number;
}
type Weights = [latency: number, price: number, reputation: number, queue: number];

/** reference: Wl·max(0, 1−latency/200) + Wp·max(0, 1−price) + Wr·reputation + Wq·max(0, 1−queue/100); all zero: 0.25 each. */
function ancestorScore({ latencyMs, price, reputation, queue }: Node, weights: Weights): number {
  const [l, p, r, q] = weights.every((w) => w === 0) ? [0.25, 0.25, 0.25, 0.25] : weights;
  return l * Math.max(0, 1 - latencyMs / 200) + p * Math.max(0, 1 - price) + r * reputation + q * Math.max(0, 1 - queue / 100);
}

const NODES: Node[] = [
  { latencyMs: 12.35, price: 0.01, reputation: 1, queue: 3 },
  { latencyMs: 0, price: 0, reputation: 0, queue: 0 },
  { latencyMs: 199.999, price: 0.999999, reputation: 0.5, queue: 99 },
  { latencyMs: 200, price: 1, reputation: 1, queue: 100 },
  { latencyMs: 5_000, price: 40, reputation: 0.333333, queue: 4_000 },
];
const WEIGHTS: Weights[] = [[0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.7, 0.05, 0.1, 0.15], [3, 2, 1, 0]];

const file = (weights: Weights, mode = "enforce") =>
  new JsonEvaluator(policyFile({ name: "old", mode, scoring: { latency_weight: weights[0], price_weight: weights[1], reputation_weight: weights[2], queue_weight: weights[3] } }));
const facts = ({ latencyMs, price, reputation, queue }: Node) => ({
  latencyUs: Math.round(latencyMs * 1_000), priceMicroUsdPerGb: Math.round(price * 1e6), reputationPpm: Math.round(reputation * 1e6), queueDepth: queue,
});

test.each(WEIGHTS.flatMap((weights) => NODES.map((node) => [node, weights] as const)))("%j by weights %j", async (node, weights) => {
  const decision = await decideOver([candidate(1, facts(node))], { spawn: file(weights) });
  const scorePpm = decision.best(1)[0]?.scorePpm ?? Number.NaN;
  // 1 - x/200 and (200 - x)/200 may fall on two sides of a half: one millionth.
  expect(Math.abs(scorePpm - ancestorScore(node, weights) * 1e6)).toBeLessThan(1);
});

test("the order is that of the formula", async () => {
  for (const weights of WEIGHTS) {
    const decision = await decideOver(NODES.map((node, i) => candidate(i + 1, facts(node))), { spawn: file(weights) });
    const scores = decision.all().map(({ candidate: { node } }) => ancestorScore(NODES[Number(node.slice(5)) - 1] as Node, weights));
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
  }
});

test("permissive gives a node without a beacon 0.5, enforce gives it nothing", async () => {
  const [permissive] = (await decideOver([bareCandidate(1)], { spawn: file([3, 2, 1, 0], "permissive") })).best(1);
  expect(permissive).toMatchObject({ status: "eligible", scorePpm: 500_000 });
  expect((await decideOver([bareCandidate(1)], { spawn: file([3, 2, 1, 0]) })).best(1)).toEqual([]);
});

test("a zero limit is no limit, and limits are inclusive", async () => {
  const rules = { max_latency_ms: 12.35, max_jitter_ms: 0, max_packet_loss: 0, max_queue_depth: 3, max_price_per_gb: 0.01, min_reputation_score: 0.9, required_capabilities: ["vm"] };
  const at = { latencyUs: 12_350, jitterUs: 5e6, lossPpm: 1e6, queueDepth: 3, priceMicroUsdPerGb: 10_000, reputationPpm: 900_000 };
  const over = [{ latencyUs: 12_351 }, { queueDepth: 4 }, { priceMicroUsdPerGb: 10_001 }, { reputationPpm: 899_999 }, { capabilities: ["container"] }];
  const candidates = [candidate(1, at), ...over.map((more, i) => candidate(i + 2, { ...at, ...more }))];
  const decision = await decideOver(candidates, { spawn: new JsonEvaluator(policyFile({ name: "old", mode: "enforce", rules })) });
  expect(decision.all().map(({ candidate: { node }, status }) => `${node} ${status}`)).toEqual(["node-1 eligible", ...over.map((_, i) => `node-${String(i + 2)} excluded`)]);
});

test("prefer_* breaks ties, latency first", async () => {
  const same = { latencyUs: 400_000, priceMicroUsdPerGb: 2_000_000 }; // both off the scales: the scores are equal
  const candidates = [candidate(1, same), candidate(2, { ...same, priceMicroUsdPerGb: 1_500_000 }), candidate(3, { ...same, latencyUs: 300_000, priceMicroUsdPerGb: 3_000_000 })];
  const order = async (rules: object) =>
    (await decideOver(candidates, { spawn: new JsonEvaluator(policyFile({ name: "old", mode: "enforce", rules })) })).all().map(({ candidate: { node } }) => node);
  expect(await order({})).toEqual(["node-1", "node-2", "node-3"]);
  expect(await order({ prefer_low_price: true })).toEqual(["node-2", "node-1", "node-3"]);
  expect(await order({ prefer_low_price: true, prefer_low_latency: true })).toEqual(["node-3", "node-2", "node-1"]);
});
