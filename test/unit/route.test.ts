/** The instances of a service in the order of a policy. */
import { routeDocument, routeLine } from "../../src/commands/views/routing.js";
import { type Instance, route } from "../../src/policy/route.js";
import { evaluator } from "../harness/candidates.js";
import { bareView, fullView } from "../harness/node-views.js";
import { NOW_MS } from "../harness/records.js";

const latency = (ms: number) => ({ latency: { us: ms * 1_000, source: "measured" as const } });
const nodes = [
  fullView({ name: "node-1", key: 1, beacon: latency(20) }), fullView({ name: "node-2", key: 2, beacon: latency(10) }),
  fullView({ name: "node-3", key: 3, beacon: latency(1) }), fullView({ name: "node-4", key: 4, beacon: latency(90) }), bareView("node-5"),
];
const on = (node: string, id = "web", address = "192.0.2.1", port = 8080): Instance => ({ node, id, address, port });
const INSTANCES = [on("node-1", "web-b", "192.0.2.1", 8081), on("node-2", "web", "2001:db8::2"), on("node-1", "web-a"), on("node-4"), on("node-5"), on("node-9")];
const near = (mode: string) => ({ spawn: evaluator({ mode, rules: { max_latency_ms: 50 }, scoring: { latency_weight: 1 } }) });

test("best node first, instances of one node by ID; excluded, unverified and unknown nodes are left out, and say why", async () => {
  const found = await route(INSTANCES, { nodes, policies: near("enforce"), nowMs: NOW_MS });
  expect(routeLine(found)).toBe("[2001:db8::2]:8080 192.0.2.1:8080 192.0.2.1:8081");
  // Scaled over who runs it: node-3, which is nearer than both, does not.
  expect(found.instances.map(({ node, id, scorePpm }) => [node, id, scorePpm])).toEqual([["node-2", "web", 1_000_000], ["node-1", "web-a", 0], ["node-1", "web-b", 0]]);
  expect(routeDocument("web", found)).toMatchObject({
    service: "web", policies: [{ role: "spawn", mode: "enforce" }],
    turnedAway: expect.arrayContaining([
      { node: "node-4", failures: [{ policy: "test", rule: "max_latency_ms", said: "max_latency_ms: 90 ms > 50 ms" }] },
      { node: "node-5", failures: [expect.objectContaining({ rule: "verified_only" }), expect.anything()] },
    ]),
  });
});

test("permissive: instances on nodes that break a rule come last", async () => {
  const found = await route(INSTANCES, { nodes, policies: near("permissive"), nowMs: NOW_MS });
  expect(found.instances.map(({ node, status }) => [node, status])).toEqual([["node-2", "eligible"], ["node-5", "eligible"], ["node-1", "eligible"], ["node-1", "eligible"], ["node-4", "violating"]]);
});

test("nobody runs it: no instance, and an empty line", async () => {
  const found = await route([], { nodes, policies: near("enforce"), nowMs: NOW_MS });
  expect([found.instances, routeLine(found), found.decision.table.size]).toEqual([[], "", 0]);
});
