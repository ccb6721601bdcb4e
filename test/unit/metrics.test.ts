/** The metrics: unknown has no sample, counters show their zeros, and docs/metrics.md lists each of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REJECT_REASONS } from "../../src/beacon/rejection.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { createMetrics, KnownGauge, PLANES } from "../../src/sidecar/metrics.js";

const fresh = () => createMetrics({ defaults: false });

/** Samples of one metric: `labels` of each in the exposition's text, with its value. */
async function samples(metrics: ReturnType<typeof fresh>, name: string): Promise<Record<string, number>> {
  const lines = (await metrics.registry.metrics()).split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return Object.fromEntries(lines.map((line) => [line.slice(name.length, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

test("a fresh instance has no gauge sample at all, and every counter at 0", async () => {
  for (const metric of await fresh().registry.getMetricsAsJSON()) {
    if (String(metric.type) === "gauge") expect([metric.name, metric.values]).toEqual([metric.name, []]);
    else expect([metric.name, metric.values.filter((v) => v.value !== 0)]).toEqual([metric.name, []]);
  }
});

test("every gauge appears when known, zero too, and goes when unknown again", async () => {
  const metrics = fresh();
  const gauges = Object.values(metrics).filter((member) => member instanceof KnownGauge);
  expect(gauges.length).toBeGreaterThan(12);
  const count = async () => (await metrics.registry.getMetricsAsJSON()).filter((m) => String(m.type) === "gauge").flatMap((m) => m.values).length;
  for (const value of [0, 1.5, true, false]) {
    for (const gauge of gauges) gauge.set(value);
    expect(await count()).toBe(gauges.length);
    for (const gauge of gauges) gauge.set(value === 0 ? undefined : Number.NaN);
    expect(await count()).toBe(0);
  }
  metrics.consulUp.set(true);
  expect(await samples(metrics, "hypercore_ibrl_consul_up")).toEqual({ "": 1 });
});

test("latency has the one sample of its source, in seconds, and none while unmeasured", async () => {
  const metrics = fresh();
  const name = "hypercore_ibrl_latency_seconds";
  metrics.setLatency({ us: 12_350, source: "estimated" });
  expect(await samples(metrics, name)).toEqual({ '{source="estimated"}': 0.01235 });
  metrics.setLatency({ us: 420, source: "measured" });
  expect(await samples(metrics, name)).toEqual({ '{source="measured"}': 0.00042 });
  metrics.setLatency(undefined);
  expect(await samples(metrics, name)).toEqual({});
});

test("each reason and carrier of a rejection shows 0 before the first", async () => {
  const metrics = fresh();
  const name = "hypercore_ibrl_records_rejected_total";
  const expected = REJECT_REASONS.flatMap((reason) => ["meta", "kv", "event", "self"].map((carrier) => [`{reason="${reason}",carrier="${carrier}"}`, 0] as const));
  expect(await samples(metrics, name)).toEqual(Object.fromEntries(expected));
  metrics.recordRejected("bad-signature", "kv");
  expect((await samples(metrics, name))['{reason="bad-signature",carrier="kv"}']).toBe(1);
});

test("nodes: every trust state once the first listing is there", async () => {
  const metrics = fresh();
  expect(await samples(metrics, "hypercore_ibrl_nodes")).toEqual({});
  metrics.setNodes({ pinned: 3 });
  expect(await samples(metrics, "hypercore_ibrl_nodes")).toEqual(Object.fromEntries(TRUST_STATES.map((t) => [`{trust="${t}"}`, t === "pinned" ? 3 : 0])));
  metrics.setNodes(undefined);
  expect(await samples(metrics, "hypercore_ibrl_nodes")).toEqual({});
});

test("planes, carriers, codes and answers count where they belong", async () => {
  const metrics = fresh();
  metrics.planeWrite("kv");
  metrics.planeWriteFailure("service");
  metrics.recordAccepted("event");
  metrics.consulRequestError("rate-limited");
  metrics.apiRequest("http", "/list", 200);
  const writes = await samples(metrics, "hypercore_ibrl_plane_writes_total");
  expect(writes).toEqual(Object.fromEntries(PLANES.map((plane) => [`{plane="${plane}"}`, plane === "kv" ? 1 : 0])));
  expect((await samples(metrics, "hypercore_ibrl_plane_write_failures_total"))['{plane="service"}']).toBe(1);
  expect((await samples(metrics, "hypercore_ibrl_records_accepted_total"))['{carrier="event"}']).toBe(1);
  expect((await samples(metrics, "hypercore_ibrl_consul_request_errors_total"))['{code="rate-limited"}']).toBe(1);
  expect(await samples(metrics, "hypercore_ibrl_api_requests_total")).toEqual({ '{api="http",call="/list",code="200"}': 1 });
});

test("two instances in one process do not meet", async () => {
  const [a, b] = [fresh(), fresh()];
  a.stateChanges.inc();
  expect(await samples(a, "hypercore_state_changes_total")).toEqual({ "": 1 });
  expect(await samples(b, "hypercore_state_changes_total")).toEqual({ "": 0 });
});

test("the ancestor's names are there, with Node's own metrics", async () => {
  const names = (await createMetrics().registry.getMetricsAsJSON()).map((metric) => metric.name);
  expect(names).toEqual(expect.arrayContaining([
    "hypercore_ibrl_beacon_connected", "hypercore_serf_queue_depth", "hypercore_workload_count",
    "hypercore_broadcast_skipped_total", "hypercore_state_changes_total", "process_cpu_seconds_total", "nodejs_eventloop_lag_seconds",
  ]));
});

test("docs/metrics.md lists exactly these", async () => {
  const { registry } = fresh();
  const rows = (await registry.getMetricsAsJSON()).map((metric) => {
    const { labelNames } = registry.getSingleMetric(metric.name) as unknown as { labelNames: string[] };
    return `| \`${metric.name}\` | ${String(metric.type)} | ${labelNames.map((label) => `\`${label}\``).join(", ")} | ${metric.help} |`;
  });
  const documented = readFileSync(join(import.meta.dirname, "../../../docs/metrics.md"), "utf8").split("\n").filter((line) => line.startsWith("| `"));
  expect(documented).toEqual(rows); // where this fails, the received rows are what the code has: copy them
});
