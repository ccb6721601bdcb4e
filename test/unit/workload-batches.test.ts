/** A node's workloads, ten to a batch beside its signed state: bytes, KV documents, and that nothing but what was signed is believed. */
import { RecordError } from "../../src/beacon/codec.js";
import { batchKey, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { open, seal, STATE } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { NodeState, Workload } from "../../src/beacon/record.js";
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { batchDocuments, withBatches } from "../../src/beacon/workload-batches.js";
import { batchHash, batchesOf } from "../../src/beacon/workload-codec.js";
import { ibrl } from "../../src/proto/messages.js";
import { systemClock } from "../../src/sidecar/clock.js";
import { Sealer } from "../../src/sidecar/sealer.js";
import { StateReader } from "../../src/sidecar/state-reader.js";
import { listing } from "../harness/kv-store.js";
import { context, identity, NOW_MS, placedWorkloads, state, verifiedState } from "../harness/records.js";

const wire = ibrl.v1;
const NODE = state().node;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** A signed state that names these batches, whatever they hold. */
function naming(batches: readonly Uint8Array[], count: number) {
  const { workloads: _, ...record } = state();
  const opened = open(STATE, seal(STATE, { ...record, batches: { count, hashes: batches.map(batchHash) } }, identity(1)), context());
  if (!opened.ok) throw new Error(opened.detail);
  return opened.verified;
}
const batchOf = (...workloads: Workload[]) => wire.WorkloadBatch.encode({ workloads: workloads.map(({ id, job }) => ({ id, job })) }).finish();

describe("bytes", () => {
  test.each([[0, 0], [1, 0], [10, 0], [11, 2], [20, 2], [23, 3], [1_000, 100]])("%i workloads: %i batches, and all of them come back with their proofs", (count, batches) => {
    const workloads = placedWorkloads(count);
    const { record, sealed } = verifiedState({ workloads });
    expect(record.workloads).toEqual(workloads);
    expect(record.batches?.hashes.length ?? 0).toBe(batches);
    expect(record.batches?.bytes?.map(batchHash) ?? []).toEqual(record.batches?.hashes ?? []);
    const payload = wire.NodeState.decode(wire.Envelope.decode(sealed).payload);
    expect(payload.workloads).toHaveLength(batches === 0 ? count : 0);
    expect([payload.workload_count, payload.batched_workloads]).toEqual(batches === 0 ? [count, null] : [null, count]);
  });

  test("the state of a thousand workloads is smaller than that of ten, but for the hashes", () => {
    expect(verifiedState({ workloads: placedWorkloads(1_000) }).sealed.length).toBeLessThan(verifiedState({ workloads: placedWorkloads(10) }).sealed.length + 100 * 34);
  });

  test("without its batches the workloads of a state are unknown, and it is encoded again as it was", () => {
    const whole = verifiedState({ workloads: placedWorkloads(23) });
    const alone = decodeState(wire.Envelope.decode(whole.sealed).payload);
    expect(alone).not.toHaveProperty("workloads");
    expect(alone.batches).toEqual({ count: 23, hashes: whole.record.batches?.hashes });
    expect(hex(encodeState(alone))).toBe(hex(encodeState(whole.record)));
  });

  test.each<[string, ibrl.v1.NodeState.$Properties]>([
    ["batched_workloads", { batched_workloads: 10, workload_batches: [Buffer.alloc(32)] }],
    ["batched_workloads", { workload_batches: [Buffer.alloc(32)] }],
    ["batched_workloads", { batched_workloads: 10_001, workload_batches: Array.from({ length: 1_001 }, (_, i) => Buffer.alloc(32, i)) }],
    ["workload_batches", { batched_workloads: 11 }],
    ["workload_batches", { batched_workloads: 11, workload_batches: [Buffer.alloc(32)] }],
    ["workload_batches", { batched_workloads: 20, workload_batches: [1, 2, 3].map((i) => Buffer.alloc(32, i)) }],
    ["workload_batches", { batched_workloads: 11, workload_batches: [Buffer.alloc(32), Buffer.alloc(31)] }],
    ["workload_batches", { batched_workloads: 11, workload_batches: [Buffer.alloc(32), Buffer.alloc(32)] }],
    ["workload_batches", { batched_workloads: 11, workload_batches: [1, 2].map((i) => Buffer.alloc(32, i)), workload_count: 0 }],
  ])("an impossible %s is refused by its name: %j", (field, fields) => {
    const payload = wire.NodeState.encode(Object.assign(wire.NodeState.decode(encodeState(state())), { workload_count: null, ...fields })).finish();
    expect(() => decodeState(payload)).toThrow(RecordError);
    expect(() => decodeState(payload)).toThrow(`${field}: `);
  });

  test("a node seals all of its workloads with a proof each, however many they are, and has them itself", () => {
    const workloads = placedWorkloads(600);
    const proofs = new Map(workloads.map(({ id, proof }) => [id, proof]));
    const clock = { nowMs: () => NOW_MS, monoMs: () => 0, sleep: () => Promise.resolve() };
    const sealer = new Sealer({ ...identity(1), beaconId: "", created: false }, { next: () => ({ epoch: 1, sequence: 1 }) } as never, new KeyAdmission(), clock, 1, (id) => proofs.get(id));
    const { state: sealed } = sealer.seal({ node: NODE, nodeId: "n", datacenter: "dc1", address: "192.0.2.17" }, { capabilities: [], workloads: workloads.map(({ proof: _proof, ...bare }) => bare) }, 300_000);
    expect(sealed.record.workloads).toEqual(workloads);
    expect(batchDocuments(sealed).size).toBe(60);
  });

  test("workloads out of order, or one of them twice, are not sealed; nor is a text that would rewrite a terminal", () => {
    const [first, second, ...others] = placedWorkloads(12) as [Workload, Workload, ...Workload[]];
    for (const workloads of [[second, first, ...others], [first, first, ...others]]) expect(() => encodeState(state({ workloads }))).toThrow(/order of their IDs/);
    expect(() => encodeState(state({ workloads: [first, { ...second, job: "a\u001b[2J" }, ...others] }))).toThrow(/workloads\.job/);
  });
});

describe("batches that came beside a state", () => {
  const whole = verifiedState({ workloads: placedWorkloads(23) });
  const bytes = whole.record.batches?.bytes ?? [];
  const alone = naming(bytes, 23);
  const [first, second, third] = bytes as [Uint8Array, Uint8Array, Uint8Array];
  const flipped = (at: number) => Uint8Array.from(first, (byte, i) => (i === at ? byte ^ 1 : byte));

  test("as they were signed they are its workloads", () => {
    expect(withBatches(alone, bytes)).toMatchObject({ ok: true, verified: { hash: alone.hash, record: { workloads: whole.record.workloads, batches: { bytes } } } });
  });

  test("any changed byte of one is noticed", () => {
    for (let at = 0; at < first.length; at += 1) expect(withBatches(alone, [flipped(at), second, third])).toMatchObject({ ok: false, reason: "incomplete" });
  });

  test.each<[string, string, readonly Uint8Array[]]>([
    ["one fewer", "incomplete", [first, second]],
    ["none", "incomplete", []],
    ["one more", "incomplete", [first, second, third, third]],
    ["in another order", "incomplete", [second, first, third]],
    ["one twice", "incomplete", [first, second, second]],
    ["another node's or an older one", "incomplete", [first, second, ...batchesOf(placedWorkloads(23, 1)).slice(2)]],
    ["one that is too large to be honest", "oversized", [first, new Uint8Array(128 * 1024 + 1), third]],
  ])("%s: %s", (_, reason, came) => {
    expect(withBatches(alone, came)).toMatchObject({ ok: false, reason });
  });

  test("beside a state that has its workloads in itself none may come", () => {
    expect(withBatches(verifiedState({ workloads: placedWorkloads(10) }), [first])).toMatchObject({ ok: false, reason: "readable-mismatch" });
  });

  const w = placedWorkloads(23);
  test.each<[string, number, Uint8Array[]]>([
    ["that are no messages", 11, [Uint8Array.of(0xff), batchOf(...w.slice(10, 11))]],
    ["of which the first is not full", 11, [batchOf(...w.slice(0, 9)), batchOf(...w.slice(9, 11))]],
    ["of which the last has more than its share", 11, [batchOf(...w.slice(0, 10)), batchOf(...w.slice(10, 12))]],
    ["with a workload in two of them", 11, [batchOf(...w.slice(0, 10)), batchOf(...w.slice(0, 1))]],
    ["out of order across two of them", 20, [batchOf(...w.slice(10, 20)), batchOf(...w.slice(0, 10))]],
    ["with text that would rewrite a terminal", 11, [batchOf(...w.slice(0, 10)), batchOf({ ...(w[10] as Workload), job: "\u001b[2J" })]],
  ])("signed, %s: malformed-payload", (_, count, batches) => {
    expect(withBatches(naming(batches, count), batches)).toMatchObject({ ok: false, reason: "malformed-payload" });
  });
});

describe("in KV", () => {
  const whole = verifiedState({ workloads: placedWorkloads(23) });
  const keys = (whole.record.batches?.hashes ?? []).map((hash) => batchKey(NODE, hash));

  /** One reader, and what it says of a store that changes. */
  function reader() {
    const values = new Map<string, string | Uint8Array>([[stateKey(NODE), stateDocument(whole)], ...batchDocuments(whole)]);
    const oversized: string[] = [];
    const clock = { wallMs: NOW_MS };
    const rejected: string[] = [];
    const consul = listing(() => [...values].map(([key, value]) => ({ key, value: Buffer.from(value), modifyIndex: "1" })), oversized);
    const states = new StateReader(consul, new KeyAdmission(), { ...systemClock, nowMs: () => clock.wallMs }, (node, { reason }) => rejected.push(`${node} ${reason}`));
    return { values, oversized, clock, rejected, read: async () => (await states.read("dc1")).get(NODE) };
  }
  const accepted = (workloads: readonly Workload[] = whole.record.workloads ?? []) => expect.objectContaining({ ok: true, verified: expect.objectContaining({ record: expect.objectContaining({ workloads }) as NodeState }) as object }) as unknown;
  const text = (value: string | Uint8Array | undefined) => Buffer.from(value ?? "").toString();

  test("each batch is a small document that people can read, under the beginning of its hash", () => {
    const documents = [...batchDocuments(whole)].map(([key, value]) => [key, JSON.parse(value) as { v: number; workloads: Record<string, unknown>[]; bytes: string }] as const);
    expect(documents.map(([key]) => key)).toEqual(keys);
    expect(documents.map(([, { workloads }]) => workloads.length)).toEqual([10, 10, 3]);
    expect(documents[2]?.[1].workloads[0]).toMatchObject({ id: placedWorkloads(21)[20]?.id, job: placedWorkloads(21)[20]?.job, status: "running" });
    expect(documents[2]?.[1].workloads[0]).not.toHaveProperty("proof");
    for (const [i, [, { bytes }]] of documents.entries()) expect(batchHash(Buffer.from(bytes, "base64"))).toBe(whole.record.batches?.hashes[i]);
    for (const value of batchDocuments(whole).values()) expect(value.length).toBeLessThan(16 * 1024);
  });

  test("to the release before the state is one whose workloads are unknown: no field more, and null in its readable copy", () => {
    const { state: readable } = JSON.parse(stateDocument(whole)) as { state: Record<string, unknown> };
    expect(Object.keys(readable)).toEqual(["node", "datacenter", "nodeId", "address", "beaconId", "epoch", "sequence", "issuedAt", "validitySeconds", "workloads", "links"]);
    expect(readable["workloads"]).toBeNull();
    const payload = wire.NodeState.decode(wire.Envelope.decode(whole.sealed).payload);
    expect([payload.workload_count, payload.workloads]).toEqual([null, []]); // what it looks at
  });

  test("a state and its batches are one; what stands beside them under other names does not count", async () => {
    const { values, rejected, read } = reader();
    values.set(batchKey(NODE, "0".repeat(64)), "an orphan");
    expect(await read()).toEqual(accepted());
    expect(rejected).toEqual([]);
  });

  test.each<[string, string, (at: ReturnType<typeof reader>) => unknown]>([
    ["a batch that is not there", "incomplete", ({ values }) => values.delete(keys[1] ?? "")],
    ["no batch there", "incomplete", ({ values }) => keys.forEach((key) => values.delete(key))],
    ["a batch of which a byte was changed", "incomplete", ({ values }) => values.set(keys[0] ?? "", text(values.get(keys[0] ?? "")).replace(/"bytes": ".{8}/, '"bytes": "AAAAAAAA'))],
    ["another batch under its name", "incomplete", ({ values }) => values.set(keys[0] ?? "", values.get(keys[1] ?? "") ?? "")],
    ["a batch that is no document", "incomplete", ({ values }) => values.set(keys[2] ?? "", Uint8Array.of(0, 1, 2))],
    ["a batch in a document of another version", "incomplete", ({ values }) => values.set(keys[2] ?? "", text(values.get(keys[2] ?? "")).replace('"v": 1', '"v": 2'))],
    ["a readable copy that was edited", "readable-mismatch", ({ values }) => values.set(keys[1] ?? "", text(values.get(keys[1] ?? "")).replace('"running"', '"failed"'))],
    ["a readable workload fewer", "readable-mismatch", ({ values }) => values.set(keys[2] ?? "", JSON.stringify({ ...(JSON.parse(text(values.get(keys[2] ?? ""))) as object), workloads: [] }))],
    ["a batch that is larger than any honest one", "oversized", ({ values }) => values.set(keys[0] ?? "", JSON.stringify({ v: 1, workloads: [], bytes: "A".repeat(200_000) }))],
    ["a value that is larger than Consul takes", "oversized", ({ oversized }) => oversized.push(keys[0] ?? "")],
  ])("%s rejects the whole state, as %s, once; put back, the same state is accepted", async (_, reason, change) => {
    const at = reader();
    expect(await at.read()).toEqual(accepted());
    const before = new Map(at.values);
    change(at);
    for (let times = 0; times < 2; times += 1) expect(await at.read()).toMatchObject({ ok: false, reason });
    expect(at.rejected).toEqual([`${NODE} ${reason}`]);
    at.oversized.length = 0;
    for (const [key, value] of before) at.values.set(key, value);
    expect(await at.read()).toEqual(accepted());
    expect(at.rejected).toHaveLength(1);
  });

  test("a state from ahead of this clock is looked at again at each read, counted once, and accepted when its time has come", async () => {
    const at = reader();
    at.clock.wallMs = NOW_MS - 60_000;
    for (let times = 0; times < 3; times += 1) expect(await at.read()).toMatchObject({ ok: false, reason: "issued-in-future" });
    at.clock.wallMs = NOW_MS;
    expect(await at.read()).toEqual(accepted());
    expect(at.rejected).toEqual([`${NODE} issued-in-future`]);
  });

  test("a state that waits for its batches is not given up for an older one that has all of its own", async () => {
    const { values, read } = reader();
    const newer = verifiedState({ sequence: whole.record.sequence + 1, workloads: placedWorkloads(11) });
    values.set(stateKey(NODE), stateDocument(newer));
    expect(await read()).toMatchObject({ reason: "incomplete" });
    values.set(stateKey(NODE), stateDocument(whole));
    expect(await read()).toMatchObject({ reason: "superseded" });
    values.set(stateKey(NODE), stateDocument(newer));
    for (const [key, value] of batchDocuments(newer)) values.set(key, value);
    expect(await read()).toEqual(accepted(newer.record.workloads));
  });
});
