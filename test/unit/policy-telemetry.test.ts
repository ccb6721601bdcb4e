/** Metrics and log lines of decisions, moved by what a sidecar's decisions really do. */
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import type { Evaluator } from "../../src/policy/evaluator.js";
import { kindOf, RULE_KINDS, rulesOf } from "../../src/policy/rules.js";
import { WasmEvaluator } from "../../src/policy/wasm-evaluator.js";
import { Decisions } from "../../src/sidecar/decisions.js";
import { createMetrics } from "../../src/sidecar/metrics.js";
import { PolicyTelemetry } from "../../src/sidecar/policy-telemetry.js";
import { evaluator } from "../harness/candidates.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS } from "../harness/records.js";
import { LOOP_FOREVER, onlyOne, OP, wasmModule } from "../harness/wasm-bytes.js";
import { pino } from "pino";

function sidecar() {
  const metrics = createMetrics({ defaults: false });
  const lines: { level: number; msg: string; node?: string }[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => lines.push(JSON.parse(line) as (typeof lines)[number]) });
  const telemetry = new PolicyTelemetry({ metrics, logger });
  let monoMs = 0;
  const decisions = new Decisions({
    consul: { kvPut: async () => true, kvDelete: async () => {} },
    identity: identity(1), keys: new KeyAdmission(), decider: () => ({ node: "node-1", datacenter: "dc1" }),
    kept: { read: () => [], write: () => {} }, onStale: () => {},
    clock: { monoMs: () => (monoMs += 2) }, observer: telemetry.decisions,
  });
  const decide = (spawn: Evaluator, nodes: NodeView[] = NODES) => decisions.make({ nodes, policies: { spawn }, nowMs: NOW_MS });
  const sample = async (name: string) =>
    Object.fromEntries((await metrics.registry.getMetricsAsJSON()).filter((metric) => metric.name === `hypercore_ibrl_policy_${name}`).flatMap(({ values }) => values as { labels: object; value: number; metricName?: string }[])
      .filter(({ value, metricName }) => value !== 0 && !String(metricName).endsWith("_bucket")).map(({ labels, value, metricName }) => [Object.values(labels).join() || (metricName ?? "_total").split("_").at(-1), value]));
  return { decide, sample, lines, telemetry };
}
const NODES = [fullView({ name: "node-1", key: 1 }), fullView({ name: "node-2", key: 2, beacon: { latency: { us: 120_000, source: "measured" } } }), bareView("node-3")];
const near = (more: object = {}) => evaluator({ rules: { max_latency_ms: 100, links: [{ node: "node-1", max_latency_ms: 1 }] }, unknown: { link: "neutral" }, ...more });

test("decisions are counted by their result, broken rules by their name, and each decision is timed", async () => {
  const { decide, sample, lines } = sidecar();
  await decide(near());
  expect(await sample("evaluations_total")).toEqual({ match: 1 });
  expect(await sample("violations_total")).toEqual({ verified_only: 1, max_latency_ms: 2 });
  expect(lines).toEqual([]);
  await decide(near(), [bareView("node-3")]);
  expect(await sample("evaluations_total")).toEqual({ "match": 1, "no-match": 1 });
  expect(lines).toMatchObject([{ level: 40, msg: "no node satisfies the policy: nothing is chosen", policies: ["test"], nodes: 1 }]);
  const timed = await sample("decision_seconds");
  expect({ ...timed, sum: Number(timed["sum"]).toFixed(6) }).toEqual({ count: 2, sum: "0.004000" });
});

test("a violator that a permissive policy puts first is counted and logged", async () => {
  const { decide, sample, lines } = sidecar();
  await decide(near({ mode: "permissive" }), [NODES[1] as NodeView]);
  expect(await sample("evaluations_total")).toEqual({ match: 1 });
  expect(await sample("violations_total")).toEqual({ max_latency_ms: 1 });
  expect(lines).toMatchObject([{ level: 40, node: "node-2", msg: "every node violates the permissive policy: the best of them is first" }]);
});

test("modules: each batch is timed, a fault and a kill are counted, and a decision that fails is one", async () => {
  const { decide, sample, lines, telemetry } = sidecar();
  for (const [body, fault, deadlineMs] of [[[OP.unreachable], "trap", 60_000], [LOOP_FOREVER, "deadline", 200]] as const) {
    const module = new WasmEvaluator(wasmModule(onlyOne([...body])), "m", { observer: telemetry.wasm, deadlineMs });
    await expect(decide(module)).rejects.toMatchObject({ fault });
    await module.close();
  }
  const sound = new WasmEvaluator(wasmModule(onlyOne([OP.unreachable])), "m", { observer: telemetry.wasm, deadlineMs: 60_000 });
  await decide(sound, [NODES[0] as NodeView]);
  await sound.close();
  expect(await sample("wasm_faults_total")).toEqual({ trap: 1, deadline: 1 });
  expect(await sample("wasm_kills_total")).toEqual({ total: 1 });
  expect(await sample("wasm_seconds")).toEqual({ count: 3, sum: expect.any(Number) as number });
  expect(await sample("evaluations_total")).toEqual({ failed: 2, match: 1 });
  expect(lines.map(({ msg }) => msg)).toEqual(Array(2).fill("a policy gave no verdicts: nothing is chosen"));
});

test("every rule that a policy can have is of a known kind", () => {
  const all = {
    rules: {
      required_capabilities: ["vm"], max_latency_ms: 1, max_jitter_ms: 1, max_packet_loss: 1, max_queue_depth: 1, max_price_per_gb: 1, min_reputation_score: 1, max_disputed_links: 1,
      budget: { expected_gb: 1, max_usd: 1 }, links: [{ node: "a", max_latency_ms: 1, max_packet_loss: 1 }, { service: "b", max_latency_ms: 2 }], anti_affinity: {}, spread: { by: "node", max: 1 },
    },
    disputed: "reject",
  };
  const kinds = [true, false].flatMap((verified_only) => rulesOf(evaluator({ ...all, verified_only }).policy).map(({ statement }) => kindOf(statement.name)));
  expect(new Set(kinds)).toEqual(new Set(RULE_KINDS.filter((kind) => kind !== "module")));
});
