/** When a node counts as breaking a policy for what runs there: after its grace, without a break in between, and only by what is known. */
import type { NodeView } from "../../src/beacon/node-view.js";
import { decide, type Policies } from "../../src/policy/decide.js";
import { PolicyBreaks } from "../../src/sidecar/placement/policy-breaks.js";
import { evaluator } from "../harness/candidates.js";
import { bareView, fullView, type ViewSpec } from "../harness/node-views.js";
import { NOW_MS } from "../harness/records.js";

const STEP_MS = 5_000;
const cheap = (content: object = {}): Policies => ({ spawn: evaluator({ rules: { max_price_per_gb: 0.02 }, grace_s: 20, ...content }) });
const at = (dollars: number, more: ViewSpec = {}): NodeView => fullView({ ...more, beacon: { priceMicroUsdPerGb: dollars * 1_000_000, ...more.beacon } });

/** One look after another, five seconds apart unless a step says more. */
function looks(policies: Policies) {
  const breaks = new PolicyBreaks();
  let monoMs = 0;
  return async (view: NodeView, afterMs = STEP_MS) => {
    monoMs += afterMs;
    breaks.look(await decide({ nodes: [view, bareView("node-9")], policies, nowMs: NOW_MS }), { monoMs, maxGapMs: 20_000 });
    return breaks;
  };
}

async function seen(policies: Policies, views: readonly NodeView[]): Promise<(number | undefined)[]> {
  const look = looks(policies);
  const found = [];
  for (const view of views) found.push((await look(view)).of("node-1")?.brokenForMs);
  return found;
}
const times = (count: number, view: NodeView): NodeView[] => Array.from({ length: count }, () => view);
const nothing = (count: number): undefined[] => Array.from({ length: count }, () => undefined);

test("longer than the grace: then it is broken, by name, value and limit, until it is kept again", async () => {
  const look = looks(cheap());
  for (let i = 0; i < 5; i += 1) expect((await look(at(0.9))).of("node-1")).toBeUndefined();
  const breaks = await look(at(0.9));
  expect(breaks.of("node-1")).toEqual({ broken: ["max_price_per_gb: $0.9/GB > $0.02/GB"], brokenForMs: 25_000 });
  expect(breaks.of("node-9")).toBeUndefined(); // it may not be chosen, and that is another thing
  expect((await look(at(0.01))).of("node-1")).toBeUndefined();
  expect((await look(at(0.9))).of("node-1")).toBeUndefined();
});

test("each policy has its own grace; without a word of it a minute", async () => {
  expect(await seen(cheap({ grace_s: 0 }), times(2, at(0.9)))).toEqual([undefined, 5_000]);
  expect(await seen({ spawn: evaluator({ rules: { max_price_per_gb: 0.02 } }) }, times(14, at(0.9)))).toEqual([...nothing(13), 65_000]);
  const both = { cluster: evaluator({ rules: { max_price_per_gb: 0.02 }, grace_s: 5 }), ...cheap({ grace_s: 3_600 }) };
  expect(await seen(both, times(3, at(0.9)))).toEqual([undefined, undefined, 10_000]);
});

test("what comes and goes within the grace never breaks it, and is no place to move to", async () => {
  const look = looks(cheap());
  for (let i = 0; i < 40; i += 1) {
    const breaks = await look(at(i % 4 === 3 ? 0.01 : 0.9));
    expect([breaks.of("node-1"), breaks.isSteady("node-1")]).toEqual([undefined, false]);
  }
  for (let i = 0; i < 3; i += 1) expect((await look(at(0.01))).isSteady("node-1")).toBe(false);
  expect((await look(at(0.01))).isSteady("node-1")).toBe(true);
});

test("a node that may not be chosen for want of knowledge is no place to move to either", async () => {
  expect((await looks(cheap())(at(0.01))).isSteady("node-9")).toBe(false);
});

const gone = (trust: NodeView["trust"]): NodeView => {
  const { beacon: _, state: __, ...rest } = at(0.9, { view: { trust } });
  return rest;
};
const unknown: [string, NodeView, object][] = [
  ["a value that is not known", fullView({ without: ["priceMicroUsdPerGb"] }), { unknown: { price: "reject" } }],
  ["a record that is over", gone("expired"), {}],
  ["a record that was not verified", gone("unverified"), {}],
  ["no sidecar", bareView("node-1"), {}],
  ["a sidecar that is quiet, whatever its last word", at(0.9, { view: { alive: false } }), {}],
  ["where further copies may go", at(0.01), { rules: { spread: { by: "node", max: 0, jobs: ["web-*"] } } }],
  ["a permissive policy", at(0.9), { mode: "permissive" }],
];
test.each(unknown)("%s breaks nothing for what runs there", async (_, view, policy) => {
  expect(await seen(cheap(policy), times(8, view))).toEqual(nothing(8));
  const isPermissive = "mode" in policy;
  expect((await looks(cheap(policy))(view)).isSteady("node-1")).toBe(isPermissive); // though it may not be chosen
});

test("a look at which nothing is known, or too long without one, begins the grace anew", async () => {
  expect(await seen(cheap(), [...times(4, at(0.9)), gone("expired"), ...times(5, at(0.9))])).toEqual(nothing(10));
  const look = looks(cheap());
  await look(at(0.9));
  expect((await look(at(0.9), 20_001)).of("node-1")).toBeUndefined();
  expect((await look(at(0.9), 20_000)).of("node-1")).toBeUndefined();
  expect((await look(at(0.9), 1)).of("node-1")).toMatchObject({ brokenForMs: 20_001 });
});

test.each(["pin-conflict", "id-collision", "equivocation", "unlisted"] as const)("%s: a node that was caught breaks the policy", async (trust) => {
  const look = looks(cheap());
  for (let i = 0; i < 5; i += 1) await look(gone(trust));
  expect((await look(gone(trust))).of("node-1")).toEqual({ broken: [`verified_only: ${trust}`], brokenForMs: 25_000 });
});
