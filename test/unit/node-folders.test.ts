/** A node that fills its own part of KV costs itself: states and rotations of all others are read as before. */
import { NODES_PREFIX, rotationKey, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { rotationDocument } from "../../src/beacon/rotation.js";
import { systemClock } from "../../src/sidecar/clock.js";
import { ConsulError } from "../../src/sidecar/consul-api.js";
import { nodeFolders } from "../../src/sidecar/node-folders.js";
import { RotationReader } from "../../src/sidecar/rotation-reader.js";
import { StateReader } from "../../src/sidecar/state-reader.js";
import { KvStore } from "../harness/kv-store.js";
import { NOW_MS, verifiedState } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";

const NODES = ["n1", "n2", "n3", "n4", "n5", "n6"];
const VALUE = new Uint8Array(512 * 1024);

/** So much below a prefix that one answer cannot hold it, nor one of a node. */
async function fill(store: KvStore, prefix: string): Promise<void> {
  for (let i = 0; i < 60; i += 1) await store.kvPut(`${prefix}fill-${String(i)}`, VALUE);
}

test("states: who has too much is rejected as oversized, the rest are read; when it is gone, all", async () => {
  const store = new KvStore();
  const rejected: string[] = [];
  const states = new StateReader(store, new KeyAdmission(), { ...systemClock, nowMs: () => NOW_MS }, (node, { reason }) => rejected.push(`${node} ${reason}`));
  const outcomes = async () => [...(await states.read("dc1"))].map(([node, verdict]) => [node, verdict.ok ? "ok" : verdict.reason]);
  for (const node of NODES) await store.kvPut(stateKey(node), stateDocument(verifiedState({ node })));
  const all = NODES.map((node) => [node, "ok"]);
  expect(await outcomes()).toEqual(all);
  await fill(store, `${NODES_PREFIX}n3/`);
  expect(await outcomes()).toEqual(all.map(([node, ok]) => [node, node === "n3" ? "oversized" : ok]));
  for (const key of store.entries.keys()) if (key.includes("fill")) await store.kvDelete(key);
  expect(await outcomes()).toEqual(all);
  expect(rejected).toEqual([]);
});

test("rotations: those of all others are followed", async () => {
  const store = new KvStore();
  const [first, third] = [rotation(1, 2, 7, "n1"), rotation(3, 4, 7, "n3")];
  for (const each of [first, third]) await store.kvPut(rotationKey(each), JSON.stringify(rotationDocument(each)));
  await fill(store, "ibrl/v1/rotations/dc1/n3/");
  expect((await new RotationReader(new KeyAdmission()).read(store, "dc1")).map(({ node }) => node)).toEqual(["n1"]);
});

test("any other failure is one, of the whole and of a node's", async () => {
  const down = new ConsulError("unreachable", "kv.list", "refused");
  const read = async (kvList: KvStore["kvList"]) => {
    for await (const _ of nodeFolders({ kvList, kvFolders: async () => ({ value: NODES, index: "1", lastContactMs: 0, knownLeader: true }) }, NODES_PREFIX, {})) expect(_).toBeDefined();
  };
  await expect(read(() => Promise.reject(down))).rejects.toBe(down);
  await expect(read((prefix) => Promise.reject(prefix === NODES_PREFIX ? new ConsulError("too-large", "kv.list", "over") : down))).rejects.toBe(down);
});
