import Long from "long";
import { decodeBeacon, encodeBeacon, RecordError } from "../../src/beacon/codec.js";
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { ibrl } from "../../src/proto/messages.js";
import { beacon, state, workload } from "../harness/records.js";

type Fields = ibrl.v1.Beacon.$Properties;
const wire: Fields = {
  node: "a", datacenter: "dc1", epoch: 1, sequence: 2, issued_at_ms: 3, validity_s: 300, capability_bits: 0,
};
const decode = (fields: Fields) => decodeBeacon(ibrl.v1.Beacon.encode({ ...wire, ...fields }).finish());

test("a record without any reading has none: no field reads as zero", () => {
  expect(decode({})).toEqual({ node: "a", datacenter: "dc1", epoch: 1, sequence: 2, issuedAtMs: 3, validityMs: 300_000, capabilities: [] });
});

test("a known zero is a zero", () => {
  expect(decode({ latency_us: 0, latency_source: 1, jitter_us: 0, loss_ppm: 0, queue_depth: 0, price_microusd_per_gb: 0, declared_reputation_ppm: 0 }))
    .toMatchObject({ latency: { us: 0, source: "measured" }, jitterUs: 0, lossRatio: 0, queueDepth: 0, priceMicroUsdPerGb: 0, declaredReputation: 0 });
});

test.each<[string, Fields]>([
  ["node", { node: "" }],
  ["node", { node: "a/../b" }],
  ["node", { node: "-a" }],
  ["node", { node: "n".repeat(129) }],
  ["datacenter", { datacenter: "dc\n1" }],
  ["epoch", { epoch: 0 }],
  ["epoch", { epoch: Long.fromString("9007199254740993", true) }],
  ["sequence", { sequence: Long.MAX_UNSIGNED_VALUE }],
  ["validity_s", { validity_s: 0 }],
  ["validity_s", { validity_s: 86_401 }],
  ["latency_us", { latency_us: 3_600_000_001, latency_source: 1 }],
  ["latency_source", { latency_us: 5 }],
  ["latency_source", { latency_source: 1 }],
  ["latency_source", { latency_us: 5, latency_source: 3 as never }],
  ["loss_ppm", { loss_ppm: 1_000_001 }],
  ["declared_reputation_ppm", { declared_reputation_ppm: 1_000_001 }],
  ["price_microusd_per_gb", { price_microusd_per_gb: 1e12 + 1 }],
  ["capability_names", { capability_names: ["UPPER"] }],
  ["capability_names", { capability_names: ["a b"] }],
  ["capability_names", { capability_names: Array.from({ length: 65 }, (_, i) => `c${String(i)}`) }],
])("an impossible %s is refused by its name: %j", (field, fields) => {
  expect(() => decode(fields)).toThrow(RecordError);
  expect(() => decode(fields)).toThrow(`${field}: `);
});

test.each([
  ["reputation 50", { declaredReputation: 50 }],
  ["reputation NaN", { declaredReputation: Number.NaN }],
  ["loss below zero", { lossRatio: -0.1 }],
  ["latency NaN", { latency: { us: Number.NaN, source: "measured" as const } }],
  ["infinite price", { priceMicroUsdPerGb: Number.POSITIVE_INFINITY }],
  ["half a queue", { queueDepth: 1.5 }],
])("what may not be received may not be sent: %s", (_, overrides) => {
  expect(() => encodeBeacon(beacon(overrides))).toThrow(RecordError);
});

test("truncated, nested and invalid UTF-8 payloads are errors, not records", () => {
  const payload = encodeBeacon(beacon());
  for (let length = 0; length < payload.length; length++) {
    // Cut at a field's end it is a shorter message, whose missing header is then refused or whose readings are absent.
    let record: unknown;
    try {
      record = decodeBeacon(payload.subarray(0, length));
    } catch {
      continue;
    }
    expect(record).toMatchObject({ node: beacon().node, epoch: 12, sequence: 4_321 });
  }
  expect(() => decodeBeacon(Buffer.from([0x0a, 0x02, 0xff, 0xfe]))).toThrow();
  expect(() => decodeBeacon(Buffer.from([0x0b, 0x0b, 0x0b]))).toThrow();
});

test("of a field given twice the last counts, exactly", () => {
  const twice = Buffer.concat([encodeBeacon(beacon({ queueDepth: 1 })), Buffer.from([0x58, 0x07])]);
  expect(decodeBeacon(twice).queueDepth).toBe(7);
});

test("states keep unknown workloads apart from none", () => {
  const none = state({ workloads: [] });
  const { workloads: _, ...unknown } = state();
  expect(decodeState(encodeState(none)).workloads).toEqual([]);
  expect(decodeState(encodeState(unknown)).workloads).toBeUndefined();
  expect(decodeState(encodeState(state({ workloads: [workload(1)] }))).workloads).toEqual([workload(1)]);
});

test("text that would rewrite a terminal is refused", () => {
  expect(() => encodeState(state({ workloads: [{ ...workload(1), job: "a\u001b[2J" }] }))).toThrow(/workloads\.job/);
  expect(() => encodeState(state({ address: "x".repeat(1_025) }))).toThrow(/address/);
});

test("a workload count that is not the number of workloads is refused", () => {
  const bytes = ibrl.v1.NodeState.encode({ ...wire, node_id: "i", address: "a", workload_count: 2, workloads: [{ id: "1" }] }).finish();
  expect(() => decodeState(bytes)).toThrow(/workload_count/);
});
