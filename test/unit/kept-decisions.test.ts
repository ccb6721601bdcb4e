/** Decisions that a sidecar keeps: under their own IDs, the last ones only, and the older ones taken away. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { openDecision } from "../../src/policy/decision-document.js";
import { Decisions, KEPT_DECISIONS, NotJoinedError } from "../../src/sidecar/decisions.js";
import { ConsulError } from "../../src/sidecar/consul-api.js";
import { readDecisionList, writeDecisionList } from "../../src/sidecar/state/decision-list.js";
import { evaluator } from "../harness/candidates.js";
import { fullView } from "../harness/node-views.js";
import { identity, NOW_MS } from "../harness/records.js";

const keys = new KeyAdmission();
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ibrl-kept-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** A store that holds what is put, and refuses deletions while `refuses`. */
function someDecisions({ joined = true } = {}) {
  const store = new Map<string, string>();
  const stale: unknown[] = [];
  const state = { refuses: false };
  const decisions = new Decisions({
    consul: {
      kvPut: async (key, value) => Boolean(store.set(key, String(value))),
      kvDelete: async (key) => {
        if (state.refuses) throw new ConsulError("permission", "kv.delete", "no");
        store.delete(key);
      },
    },
    identity: identity(1), keys,
    decider: () => (joined ? { node: "node-1", datacenter: "dc1" } : undefined),
    kept: { read: () => readDecisionList(folder), write: (ids) => writeDecisionList(folder, ids) },
    clock: { monoMs: () => 0 },
    observer: { decided: () => {}, failed: () => {} },
    onStale: (error) => stale.push(error),
  });
  const make = (second: number) => decisions.make({ nodes: [fullView({ name: "node-1", key: 1 })], policies: { spawn: evaluator() }, nowMs: NOW_MS + second * 1_000 });
  return { decisions, make, store, stale, state };
}

test("a decision that was made is signed, and is nowhere until it is kept: then it opens from under its own ID", async () => {
  const { decisions, make, store } = someDecisions();
  const { id, decision, sealed } = await make(0);
  expect(decision.best(1)).toMatchObject([{ candidate: { node: "node-1" } }]);
  expect(store.size).toBe(0);
  await decisions.keep(sealed);
  const document = store.get(`ibrl/v1/decisions/${id}`) ?? "";
  expect(openDecision(id, Buffer.from(document), keys)).toMatchObject({ ok: true, id, signed: { record: { node: "node-1", decidedAtMs: NOW_MS } } });
});

test("the last ones stay, and those before a restart count", async () => {
  const first = someDecisions();
  const { sealed: oldest } = await first.make(0);
  await first.decisions.keep(oldest);
  const again = someDecisions(); // the same folder
  again.store.set(oldest.key, oldest.document);
  const made = [];
  for (let i = 1; i <= KEPT_DECISIONS; i++) made.push(await again.make(i));
  for (const { sealed } of made.slice(0, -1)) await again.decisions.keep(sealed);
  expect(again.store.size).toBe(KEPT_DECISIONS);
  await again.decisions.keep(made.at(-1)?.sealed ?? oldest);
  expect([...again.store.keys()]).toEqual(made.map(({ sealed }) => sealed.key));
  expect(readDecisionList(folder)).toEqual(made.map(({ id }) => id));
});

test("one kept twice counts once", async () => {
  const { decisions, make } = someDecisions();
  const { id, sealed } = await make(0);
  await decisions.keep(sealed);
  await decisions.keep(sealed);
  expect(readDecisionList(folder)).toEqual([id]);
});

test("where an old one cannot be taken away the new one stands, it is told, and the next one tries again", async () => {
  const { decisions, make, store, stale, state } = someDecisions();
  writeDecisionList(folder, Array.from({ length: KEPT_DECISIONS }, (_, i) => i.toString(16).padStart(32, "0")));
  store.set(`ibrl/v1/decisions/${"0".repeat(32)}`, "old");
  state.refuses = true;
  const { sealed } = await make(0);
  await decisions.keep(sealed);
  expect(store.has(sealed.key)).toBe(true);
  expect(stale).toEqual([expect.objectContaining({ code: "permission" })]);
  state.refuses = false;
  await decisions.keep((await make(1)).sealed);
  expect(store.has(`ibrl/v1/decisions/${"0".repeat(32)}`)).toBe(false);
  expect(readDecisionList(folder)).toHaveLength(KEPT_DECISIONS);
});

test("a sidecar that has joined no cluster decides nothing", async () => {
  await expect(someDecisions({ joined: false }).make(0)).rejects.toThrow(NotJoinedError);
});
