/** What is written of a state and its batches, in which order, and that no reader and no crash finds a half of it. */
import { batchesPrefix, batchKey, stateKey } from "../../src/beacon/documents.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type Beacon, type Workload } from "../../src/beacon/record.js";
import { systemClock } from "../../src/sidecar/clock.js";
import { ConsulError } from "../../src/sidecar/consul-api.js";
import { StateReader } from "../../src/sidecar/state-reader.js";
import { StateWriter } from "../../src/sidecar/state-writer.js";
import { KvStore } from "../harness/kv-store.js";
import { beacon, NOW_MS, placedWorkloads, verifiedState } from "../harness/records.js";

const NODE: Beacon["node"] = beacon().node;
let sequence = 0;
const stateOf = (workloads: readonly Workload[]) => verifiedState({ sequence: (sequence += 1), workloads });

function written() {
  const store = new KvStore();
  return { store, writer: new StateWriter(store), batches: () => [...store.entries.keys()].filter((key) => key.startsWith(batchesPrefix(NODE))) };
}
/** As another node reads that starts now. */
async function read(store: KvStore) {
  const verdict = (await new StateReader(store, new KeyAdmission(), { ...systemClock, nowMs: () => NOW_MS }).read("dc1")).get(NODE);
  if (verdict?.ok === false) throw new Error(`${verdict.reason}: ${verdict.detail}`);
  return verdict?.verified.record.workloads;
}
const keysOf = (state: ReturnType<typeof stateOf>) => (state.record.batches?.hashes ?? []).map((hash) => batchKey(NODE, hash)).sort();

test("up to ten workloads are one plain value, after one look for what an earlier process left", async () => {
  const { store, writer } = written();
  for (const count of [0, 10, 3]) {
    await writer.write(stateOf(placedWorkloads(count)));
    expect(await read(store)).toHaveLength(count);
  }
  expect(store.writes).toEqual(Array.from({ length: 3 }, () => ({ set: [stateKey(NODE)], deleted: [] })));
  expect(store.lists - 3).toBe(1); // the reader's own aside
});

test("more are one transaction, of the batches that are new, the state, and those that are gone", async () => {
  const { store, writer, batches } = written();
  const first = stateOf(placedWorkloads(23));
  await writer.write(first);
  expect(store.writes.at(-1)).toEqual({ set: [...(first.record.batches?.hashes ?? []).map((hash) => batchKey(NODE, hash)), stateKey(NODE)], deleted: [] });
  // Of the last three one is stopped: two batches are the same.
  const second = stateOf(placedWorkloads(22));
  const [, , changed = ""] = second.record.batches?.hashes ?? [];
  await writer.write(second);
  expect(store.writes.at(-1)).toEqual({ set: [batchKey(NODE, changed), stateKey(NODE)], deleted: [batchKey(NODE, first.record.batches?.hashes[2] ?? "")] });
  expect(batches().sort()).toEqual(keysOf(second));
  expect(await read(store)).toEqual(second.record.workloads);
  // Back to ten: none is left, and then nothing is looked for any more.
  await writer.write(stateOf(placedWorkloads(10)));
  expect(batches()).toEqual([]);
  expect(store.writes).toHaveLength(3);
  const { lists } = store;
  await writer.write(stateOf(placedWorkloads(10)));
  expect(store.lists).toBe(lists);
});

test("what somebody changed or deleted, or put beside them, is as it was after the next write of the same workloads", async () => {
  const { store, writer, batches } = written();
  await writer.write(stateOf(placedWorkloads(23)));
  const [first = "", second = ""] = batches();
  await store.kvPut(first, "edited");
  await store.kvDelete(second);
  await store.kvPut(`${batchesPrefix(NODE)}junk`, "junk");
  await expect(read(store)).rejects.toThrow(/^incomplete: /);
  const same = stateOf(placedWorkloads(23));
  await writer.write(same);
  expect(batches().sort()).toEqual(keysOf(same));
  expect(await read(store)).toEqual(same.record.workloads);
});

test.each([[23, 23], [10, 900], [900, 11], [900, 0], [700, 900]])("from %i workloads to %i: after each Raft write a reader has all of the old ones or all of the new ones, and a crash there leaves nothing for long", async (from, to) => {
  const before = placedWorkloads(from);
  const after = placedWorkloads(to, 5_000); // no batch in common
  const whole = written();
  await whole.writer.write(stateOf(before));
  const already = whole.store.writes.length;
  await whole.writer.write(stateOf(after));
  const steps = whole.store.writes.length - already;
  expect(steps).toBeGreaterThan(from + to > 800 ? 1 : 0);
  expect(whole.store.writes.slice(-steps).flatMap(({ set, deleted }) => [...set, ...deleted])).toHaveLength((from > 10 ? Math.ceil(from / 10) : 0) + (to > 10 ? Math.ceil(to / 10) : 0) + 1);

  for (let crashAt = 1; crashAt <= steps; crashAt += 1) {
    const { store, writer, batches } = written();
    await writer.write(stateOf(before));
    let step = 0;
    store.afterWrite = () => {
      step += 1;
      if (step === crashAt) throw new ConsulError("timeout", "kv.txn", "no answer, though it was written");
    };
    await expect(writer.write(stateOf(after))).rejects.toMatchObject({ code: "timeout" });
    const stands = await read(store);
    expect([before, after]).toContainEqual(stands);
    store.afterWrite = () => {};
    // Tried again by the same process, or by one that starts.
    const last = stateOf(placedWorkloads(crashAt % 2 === 0 ? 12 : 5, 7_000));
    await (crashAt % 3 === 0 ? writer : new StateWriter(store)).write(last);
    expect(batches().sort()).toEqual(keysOf(last));
    expect(await read(store)).toEqual(last.record.workloads);
  }
});

test("leaving takes the state, then its batches; of few workloads the state alone", async () => {
  const { store, writer } = written();
  await writer.write(stateOf(placedWorkloads(23)));
  await writer.remove(NODE);
  expect([...store.entries]).toEqual([]);
  expect(store.writes.at(-1)?.deleted[0]).toBe(stateKey(NODE));
  await writer.write(stateOf([]));
  await writer.remove(NODE);
  expect(store.writes.at(-1)).toEqual({ set: [], deleted: [stateKey(NODE)] });
  expect([...store.entries]).toEqual([]);
});

test("after a join, or a failed write, what is there is looked at again", async () => {
  const { store, writer } = written();
  await writer.write(stateOf([]));
  await store.kvPut(batchKey(NODE, "0".repeat(64)), "of another process");
  writer.forget();
  await writer.write(stateOf([]));
  expect([...store.entries.keys()]).toEqual([stateKey(NODE)]);
  await store.kvPut(batchKey(NODE, "0".repeat(64)), "of a write whose answer was lost");
  store.afterWrite = () => {
    throw new ConsulError("no-leader", "kv.put", "no leader");
  };
  await expect(writer.write(stateOf([]))).rejects.toMatchObject({ code: "no-leader" });
  store.afterWrite = () => {};
  await writer.write(stateOf([]));
  expect([...store.entries.keys()]).toEqual([stateKey(NODE)]);
});

test("a token that may not list is told which rule the write lacks", async () => {
  const { store } = written();
  const refused = (operation: string, permission: string) => new ConsulError("permission", operation, `lacks ${permission}`, { permission });
  const consul = { kvList: () => Promise.reject(refused("kv.list", "key:list")), kvPut: () => Promise.reject(refused("kv.put", `key:write on "${stateKey(NODE)}"`)), kvDelete: store.kvDelete, kvTxn: store.kvTxn };
  await expect(new StateWriter(consul).write(stateOf([]))).rejects.toMatchObject({ fields: { permission: `key:write on "${stateKey(NODE)}"` } });
});
