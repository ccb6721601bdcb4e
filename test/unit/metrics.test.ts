/** The metrics: unknown has no sample, counters show their zeros, and docs/metrics.md lists each of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REJECT_REASONS } from "../../src/beacon/rejection.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { createMetrics, KnownGauge, PLANES } from "../../src/sidecar/metrics.js";
import { SystemProbeClock } from "../../src/sidecar/probe/probe-clock.js";
import { DEFAULT_PROBE_SETTINGS } from "../../src/sidecar/probe/probe-settings.js";
import { Reflector } from "../../src/sidecar/probe/reflector.js";

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

test("each reason of the reflector shows 0 before its first drop", async () => {
  const metrics = fresh();
  const name = "hypercore_ibrl_reflector_dropped_total";
  const { dropped } = new Reflector(DEFAULT_PROBE_SETTINGS.reflector, new SystemProbeClock()).counters;
  expect(await samples(metrics, name)).toEqual(Object.fromEntries(Object.keys(dropped).map((reason) => [`{reason="${reason}"}`, 0])));
  metrics.reflectorDropped("replay", 3);
  metrics.reflectorDropped("replay");
  expect((await samples(metrics, name))['{reason="replay"}']).toBe(4);
});

test("round trips from 50 µs to 1 s fall into buckets that tell them apart", async () => {
  const metrics = fresh();
  for (const seconds of [0.00004, 0.00012, 0.02, 0.9, 3]) metrics.probeRtt.observe(seconds);
  const buckets = await samples(metrics, "hypercore_ibrl_probe_rtt_seconds_bucket");
  expect(buckets).toMatchObject({ '{le="0.00005"}': 1, '{le="0.0001"}': 1, '{le="0.00015"}': 2, '{le="0.015"}': 2, '{le="0.02"}': 3, '{le="0.75"}': 3, '{le="1"}': 4, '{le="+Inf"}': 5 });
  const bounds = Object.keys(buckets).map((label) => Number(/"(.+)"/.exec(label)?.[1]?.replace("+Inf", "Infinity")));
  expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
});

test("interface counters are the kernel's at each scrape, and none where it does not say", async () => {
  let now: { name: string; receiveBytes: number; transmitBytes: number }[] | undefined = [{ name: "eth0", receiveBytes: 0, transmitBytes: 2e9 }, { name: 'a"b', receiveBytes: 3, transmitBytes: 4 }];
  const metrics = createMetrics({ defaults: false, interfaces: () => Promise.resolve(now) });
  expect(await samples(metrics, "hypercore_ibrl_interface_receive_bytes_total")).toEqual({ '{interface="eth0"}': 0, '{interface="a\\"b"}': 3 });
  expect(await samples(metrics, "hypercore_ibrl_interface_transmit_bytes_total")).toMatchObject({ '{interface="eth0"}': 2e9 });
  now = [{ name: "eth0", receiveBytes: 7, transmitBytes: 1 }];
  expect(await samples(metrics, "hypercore_ibrl_interface_receive_bytes_total")).toEqual({ '{interface="eth0"}': 7 });
  now = undefined;
  expect(await samples(metrics, "hypercore_ibrl_interface_transmit_bytes_total")).toEqual({});
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
