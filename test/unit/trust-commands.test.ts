/** What the trust commands decide and say: the next list, pins in KV, views. The commands as processes: test/integration/trust.test.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AllowListBook } from "../../src/beacon/allow-list.js";
import { pinKey } from "../../src/beacon/documents.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { formatPin, type Pin } from "../../src/beacon/pins.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { nodesToAllow, signAllowList, type SigningInput } from "../../src/commands/reading/allow-list-signing.js";
import { allowDocument, allowListChange } from "../../src/commands/views/allow-list-change.js";
import { pinChange } from "../../src/commands/views/pin-change.js";
import { TRUST_MEANING } from "../../src/commands/views/trust-meaning.js";
import { trustList, trustListDocument, trustShow, trustShowDocument } from "../../src/commands/views/trust-list.js";
import { projectRoot } from "../../src/dev/project-root.js";
import type { ConsulApi, KvEntry } from "../../src/sidecar/consul-api.js";
import { deletePin, putAllowListDocument, putPin, TrustError } from "../../src/sidecar/trust-records.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS } from "../harness/records.js";

const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
const keyOf = (seed: number) => hex(identity(seed).publicKey);
const idOf = (seed: number) => keyOf(seed).slice(0, 16);
const operator = identity(200);
const pin = (node: string, seed: number): Pin => ({ node, datacenter: "dc1", publicKey: keyOf(seed), origin: "cluster" });

const sign = (more: Partial<SigningInput> = {}) =>
  signAllowList({ operator, others: new Set(), datacenter: "dc1", last: null, inCluster: null, replace: false, edit: { add: [], remove: [] }, nowMs: NOW_MS, ...more });
const add = (...nodes: [string, number][]) => ({ add: nodes.map(([node, seed]) => ({ node, publicKey: keyOf(seed) })), remove: [] });
const bytes = (document: string | null) => Buffer.from(document ?? "");

describe("the next allow-list", () => {
  const first = sign({ edit: add(["n2", 2], ["n10", 10], ["n1", 1]) });

  test("is in the order of the names, from serial 1, and a reader takes it", () => {
    expect(first.list).toMatchObject({ serial: 1, nodes: [{ node: "n1" }, { node: "n10" }, { node: "n2" }] });
    const reader = new AllowListBook(new Set([hex(operator.publicKey)]), new KeyAdmission());
    expect(reader.offer(bytes(first.document), "dc1")).toMatchObject({ ok: true, taken: true });
  });

  test("says what is added, replaced and taken off", () => {
    const next = sign({ inCluster: bytes(first.document), edit: { ...add(["n1", 9], ["n3", 3]), remove: ["n2"] } });
    expect(next.list.serial).toBe(2);
    expect(next.changes).toEqual([
      { node: "n1", before: keyOf(1), after: keyOf(9) },
      { node: "n2", before: keyOf(2) },
      { node: "n3", after: keyOf(3) },
    ]);
    const document = allowDocument(next, hex(operator.publicKey), true, []);
    expect(allowListChange(document, "KV")).toBe(
      [
        `Allow-list of dc1, serial 2, without an end, signed by ${hex(operator.publicKey)}`,
        `  ~ n1  beacon ID ${idOf(1)} becomes ${idOf(9)}  key ${keyOf(9)}`,
        `  - n2  beacon ID ${idOf(2)}`,
        `  + n3  beacon ID ${idOf(3)}  key ${keyOf(3)}`,
        "3 nodes are on it. Written to KV.",
      ].join("\n"),
    );
  });

  test("is not signed where nothing differs; another end is a difference, and stays until another is given", () => {
    const same = sign({ inCluster: bytes(first.document), edit: add(["n1", 1]) });
    expect(same).toMatchObject({ document: null, list: { serial: 1 }, changes: [] });
    const ending = sign({ inCluster: bytes(first.document), edit: { add: [], remove: [], expiresAtMs: NOW_MS + 1 } });
    expect(ending.list).toMatchObject({ serial: 2, expiresAtMs: NOW_MS + 1 });
    expect(sign({ inCluster: bytes(ending.document), edit: add(["n4", 4]) }).list.expiresAtMs).toBe(NOW_MS + 1);
    expect(sign({ inCluster: bytes(ending.document), edit: { add: [], remove: [], expiresAtMs: null } }).list).not.toHaveProperty("expiresAtMs");
  });

  test("is not made of an older list that was replayed in KV: the newer one is edited, and written back", () => {
    const second = sign({ inCluster: bytes(first.document), edit: { add: [], remove: ["n1"] } });
    const third = sign({ last: bytes(second.document), inCluster: bytes(first.document) });
    expect(third.list).toMatchObject({ serial: 3, nodes: [{ node: "n10" }, { node: "n2" }] });
    expect(third.document).not.toBeNull();
    expect(third.warnings).toEqual([expect.stringMatching(/^the list in KV does not count.*superseded/)]);
    expect(sign({ last: bytes(second.document) }).warnings).toEqual([expect.stringMatching(/^no list stands in KV/)]);
  });

  test("does not write over another operator's list unasked, and passes its serial when asked", () => {
    const theirs = sign({ operator: identity(201), edit: add(["n1", 1]) });
    const theirsLater = sign({ operator: identity(201), inCluster: bytes(theirs.document), edit: add(["n2", 2]) });
    expect(() => sign({ inCluster: bytes(theirsLater.document) })).toThrow(TrustError);
    expect(sign({ inCluster: bytes(theirsLater.document), others: new Set([hex(identity(201).publicKey)]), edit: add(["n3", 3]) }).list).toMatchObject({ serial: 3, nodes: [{}, {}, {}] });
    expect(sign({ inCluster: bytes(theirsLater.document), replace: true, edit: add(["n3", 3]) }).list).toMatchObject({ serial: 3, nodes: [{ node: "n3" }] });
  });

  test("what is no list in KV does not stop the operator", () => {
    expect(sign({ inCluster: Buffer.from("rubbish"), edit: add(["n1", 1]) })).toMatchObject({ list: { serial: 1 }, warnings: [expect.stringMatching(/written over/)] });
  });
});

describe("nodes to allow", () => {
  const pins = [pin("n1", 1), pin("n2", 2)];

  test("take the pinned key, or the one given", () => {
    expect(nodesToAllow(["n1", `n3=${keyOf(3).toUpperCase()}`], false, pins)).toEqual([{ node: "n1", publicKey: keyOf(1) }, { node: "n3", publicKey: keyOf(3) }]);
    expect(nodesToAllow([`n2=${keyOf(9)}`], true, pins)).toEqual([{ node: "n1", publicKey: keyOf(1) }, { node: "n2", publicKey: keyOf(9) }]);
  });

  test.each([
    [["n9"], /no key is pinned in KV for n9: write NODE=KEY/],
    [["n1=abcd"], /write the whole public key/],
    [[`n1=01${"00".repeat(31)}`], /small-order/],
    [["../n1"], /no Consul node name/],
  ])("%j is refused", (given, message) => {
    expect(() => nodesToAllow(given, false, pins)).toThrow(message);
  });
});

describe("pins in KV", () => {
  function kv(entries: Record<string, string>) {
    const store = new Map(Object.entries(entries));
    const entry = (key: string): KvEntry | null => (store.has(key) ? { key, value: Buffer.from(store.get(key) ?? ""), modifyIndex: "7" } : null);
    const api: Pick<ConsulApi, "kvGet" | "kvPut" | "kvDelete"> = {
      kvGet: async (key) => ({ value: entry(key), index: "7", lastContactMs: 0, knownLeader: true }),
      kvPut: async (key, value, { cas } = {}) => {
        if (cas !== (store.has(key) ? "7" : "0")) return false;
        store.set(key, String(value));
        return true;
      },
      kvDelete: async (key) => void store.delete(key),
    };
    return { store, api };
  }
  const KEY = pinKey("dc1", "n1");

  test("a pin is added, left alone where it is the same, and replaced only when asked", async () => {
    const { api, store } = kv({});
    expect(await putPin(api, pin("n1", 1), false)).toEqual({ change: "added" });
    expect(await putPin(api, pin("n1", 1), false)).toEqual({ change: "unchanged" });
    await expect(putPin(api, pin("n1", 2), false)).rejects.toMatchObject({ code: "pinned-otherwise", message: expect.stringContaining(keyOf(1)) as string });
    expect(store.get(KEY)).toBe(formatPin(pin("n1", 1)));
    expect(await putPin(api, pin("n1", 2), true)).toEqual({ change: "replaced", before: keyOf(1) });
    expect(await deletePin(api, "dc1", "n1")).toMatchObject({ pin: pin("n1", 2) });
    expect(await deletePin(api, "dc1", "n1")).toBeNull();
  });

  test("what is no pin is replaced only when asked, too", async () => {
    const { api } = kv({ [KEY]: "rubbish" });
    await expect(putPin(api, pin("n1", 1), false)).rejects.toMatchObject({ code: "pinned-otherwise" });
    expect(await putPin(api, pin("n1", 1), true)).toEqual({ change: "replaced", before: null });
  });

  test("a write that somebody else's crossed is refused, not repeated", async () => {
    const { api } = kv({});
    await putAllowListDocument(api, "dc1", "{}", null);
    await expect(putAllowListDocument(api, "dc1", "{}", null)).rejects.toMatchObject({ code: "changed-meanwhile" });
  });
});

describe("views", () => {
  const conflict = bareView("node-3", { trust: "pin-conflict", detail: "its pin is gone\u001b[2J" });

  test("trust list names state, ID and reason, safe for a terminal", () => {
    expect(trustList([fullView(), conflict], { columns: Infinity, color: false })).toBe(
      [
        "NODE    TRUST         BEACON ID         WHY",
        `node-1  pinned        ${idOf(1)}`,
        "node-3  pin-conflict  -                 its pin is gone\\u001b[2J",
      ].join("\n"),
    );
    expect(trustListDocument([fullView(), conflict]).nodes).toMatchObject([{ node: "node-1", verified: true, publicKey: keyOf(1) }, { verified: false, trust: "pin-conflict", publicKey: null }]);
  });

  test("trust show says what to do, and what is unknown", () => {
    const records = { pin: { publicKey: keyOf(1) }, list: { serial: 4, signedBy: keyOf(200), publicKey: null } };
    const text = trustShow(conflict, records);
    expect(text).toContain("Do:          find out who replaced the key");
    expect(text).toContain(`Pin in KV:   ${keyOf(1)}`);
    expect(text).toContain(`Allow-list:  serial 4 by ${keyOf(200)} does not name it`);
    expect(trustShow(fullView(), { pin: { problem: "no agent" }, list: null })).toMatch(/Pin in KV: {3}unknown: no agent\nAllow-list: {2}none$/);
    expect(trustShowDocument(conflict, records)).toMatchObject({ schemaVersion: 1, node: { trust: "pin-conflict" }, todo: TRUST_MEANING["pin-conflict"].todo, ...records });
  });

  test("pin and unpin say what is left to do elsewhere", () => {
    const change = { schemaVersion: 1 as const, node: "n1", datacenter: "dc1", publicKey: keyOf(1), kv: { change: "replaced" as const, before: keyOf(2) }, host: null };
    expect(pinChange(change, { path: "/var/lib/x", isThere: false })).toMatch(/pinned to .* \(beacon ID .*\)\n {2}KV: replaced, was .*\n {2}This host: no pins in \/var\/lib\/x.*\n {2}Elsewhere: /);
    const gone = { ...change, publicKey: null, kv: null, host: { folder: "/var/lib/x", before: keyOf(1) } };
    expect(pinChange(gone, { path: "/var/lib/x", isThere: true })).not.toContain("KV:");
  });
});

test("docs/trust.md has every state, as `trust show` explains it", () => {
  const text = readFileSync(join(projectRoot(), "docs/trust.md"), "utf8");
  for (const state of TRUST_STATES) expect(text).toContain(`| \`${state}\` | ${TRUST_MEANING[state].means} | ${TRUST_MEANING[state].todo} |`);
});
