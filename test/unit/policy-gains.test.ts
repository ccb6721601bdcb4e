/** When another node counts as better for what runs: by score and cost, held without a break, by what is known. */
import type { NodeView } from "../../src/beacon/node-view.js";
import { decide } from "../../src/policy/decide.js";
import { PolicyGains } from "../../src/sidecar/placement/policy-gains.js";
import { evaluator, policyFile } from "../harness/candidates.js";
import { bareView, fullView, type ViewSpec } from "../harness/node-views.js";
import { NOW_MS } from "../harness/records.js";

const STEP_MS = 5_000;
/** $1 for a GB scores 0, and nothing 1. */
const scoring = { price_weight: 1, ranges: { price_per_gb: { best: 0, worst: 1 } } };
const spawn = (rebalance: object, more: object = {}) => evaluator({ scoring, rebalance: { min_gain: 0.2, hold_s: 20, ...rebalance }, ...more });
const node = (n: number, dollars: number, more: ViewSpec = {}): NodeView => fullView({ name: `node-${String(n)}`, key: n, ...more, beacon: { priceMicroUsdPerGb: dollars * 1_000_000 } });

function looks(policy = spawn({})) {
  const gains = new PolicyGains();
  let monoMs = 0;
  return async (nodes: NodeView[], afterMs = STEP_MS) => {
    monoMs += afterMs;
    gains.look(await decide({ nodes, policies: { spawn: policy }, nowMs: NOW_MS }), { monoMs, maxGapMs: 20_000 });
    return gains.of("node-1");
  };
}

async function held(nodes: NodeView[], policy = spawn({})) {
  const look = looks(policy);
  for (let i = 0; i < 4; i += 1) expect(await look(nodes)).toBeUndefined();
  return look(nodes);
}

test("by so much, for so long: then that node is better, and not before", async () => {
  expect(await held([node(1, 0.5), node(2, 0.3)])).toMatchObject({ to: "node-2", gain: 0.2, heldForMs: 20_000, rebalance: { dryRun: true, cooldownMs: 3_600_000, maxParallel: 1 } });
  expect(await held([node(1, 0.5), node(2, 0.300001)])).toBeUndefined();
  expect(await held([node(1, 0.3), node(2, 0.5)])).toBeUndefined();
});

test("a policy without rebalance moves nothing", async () => {
  expect(await held([node(1, 0.9), node(2, 0.1)], evaluator({ scoring }))).toBeUndefined();
});

test("an oscillating price causes nothing, whatever the phase", async () => {
  for (const [period, low] of [[2, 1], [4, 1], [5, 1], [5, 2]] as const) {
    const look = looks();
    for (let i = 0; i < 60; i += 1) expect(await look([node(1, i % period < low ? 0.1 : 0.9), node(2, 0.3)])).toBeUndefined();
  }
});

test("a better one stays the one while it is better, whoever passes it", async () => {
  const look = looks();
  for (let i = 0; i < 4; i += 1) await look([node(1, 0.9), node(2, i % 2 === 0 ? 0.3 : 0.2), node(3, i % 2 === 0 ? 0.2 : 0.3)]);
  expect(await look([node(1, 0.9), node(2, 0.1), node(3, 0.3)])).toMatchObject({ to: "node-3", heldForMs: 20_000 });
  expect(await look([node(1, 0.9), node(2, 0.1), node(3, 0.8)])).toBeUndefined();
  expect(await look([node(1, 0.9), node(2, 0.1), node(3, 0.1)], 20_000)).toMatchObject({ to: "node-2", heldForMs: 20_000 });
});

test("too long without a look it begins anew", async () => {
  const look = looks();
  await look([node(1, 0.9), node(2, 0.1)]);
  expect(await look([node(1, 0.9), node(2, 0.1)], 20_001)).toBeUndefined();
});

test("price × traffic: it must save what the policy states", async () => {
  const policy = (expectedGb: number) => spawn({ min_saving_usd: 10 }, { rules: { budget: { expected_gb: expectedGb, max_usd: 1_000 } } });
  expect(await held([node(1, 0.5), node(2, 0.3)], policy(50))).toMatchObject({ to: "node-2", savingUsd: 10 });
  expect(await held([node(1, 0.5), node(2, 0.3)], policy(49.9))).toBeUndefined();
  expect(() => policyFile({ version: 2, name: "x", mode: "enforce", rebalance: { min_gain: 0, min_saving_usd: 1 } })).toThrow("rebalance.min_saving_usd");
});

const here: [string, NodeView][] = [
  ["of which the price is not known", fullView({ without: ["priceMicroUsdPerGb"] })],
  ["whose sidecar is quiet", node(1, 0.9, { view: { alive: false } })],
  ["whose record is over", bareView("node-1", { trust: "expired", alive: true })],
  ["without a sidecar", bareView("node-1")],
];
test.each(here)("nothing leaves a node %s", async (_, view) => {
  for (const mode of ["enforce", "permissive"]) expect(await held([view, node(2, 0.1)], spawn({}, { mode }))).toBeUndefined();
});

test("nor is anything better that breaks a rule, in either mode", async () => {
  for (const mode of ["enforce", "permissive"]) {
    const policy = spawn({}, { mode, rules: { required_capabilities: ["tpu"] } });
    const able = fullView({ name: "node-1", key: 1, beacon: { priceMicroUsdPerGb: 900_000, capabilities: ["tpu"] } });
    expect(await held([able, node(2, 0.1)], policy)).toBeUndefined();
  }
});
