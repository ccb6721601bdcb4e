/** The operator's list: what is taken, in which order, and what never is. */
import fc from "fast-check";
import { ALLOW_LIST, type AllowList, AllowListBook, allowListDocument } from "../../src/beacon/allow-list.js";
import { BEACON, openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { beacon, identity, NOW_MS } from "../harness/records.js";
import { flipped } from "../harness/tampering.js";

const operator = identity(200);
const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
const keyOf = (seed: number) => hex(identity(seed).publicKey);
const keys = new KeyAdmission();

const list = (overrides: Partial<AllowList> = {}): AllowList => ({
  datacenter: "dc1", serial: 3, issuedAtMs: NOW_MS, nodes: [{ node: "n1", publicKey: keyOf(1) }, { node: "n2", publicKey: keyOf(2) }], ...overrides,
});
function document(overrides: Partial<AllowList> = {}, by = operator): Buffer {
  const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, list(overrides), by), keys);
  if (!opened.ok) throw new Error(opened.detail);
  return Buffer.from(allowListDocument(opened.signed));
}
const book = (...operators: Uint8Array[]) => new AllowListBook(new Set((operators.length === 0 ? [operator.publicKey] : operators).map(hex)), keys);

test("an operator's list is taken, and names one key for each of its nodes", () => {
  const lists = book();
  expect(lists.offer(document({ expiresAtMs: NOW_MS + 1 }), "dc1")).toMatchObject({ ok: true, taken: true });
  expect(lists.held?.record).toEqual(list({ expiresAtMs: NOW_MS + 1 }));
  expect([lists.keyOf("n1"), lists.keyOf("n3")]).toEqual([keyOf(1), undefined]);
});

test("newer serials replace, older ones are a replay, the same list again changes nothing", () => {
  const lists = book();
  lists.offer(document({ serial: 5, nodes: [] }), "dc1");
  expect(lists.offer(document({ serial: 4 }), "dc1")).toMatchObject({ ok: false, reason: "superseded" });
  expect(lists.keyOf("n1")).toBeUndefined(); // taken off with serial 5, and stays off
  expect(lists.offer(document({ serial: 5, nodes: [] }), "dc1")).toMatchObject({ ok: true, taken: false });
  expect(lists.offer(document({ serial: 6 }), "dc1")).toMatchObject({ ok: true, taken: true });
});

test("two lists with one serial: the one seen first stays", () => {
  const lists = book();
  lists.offer(document({ nodes: [] }), "dc1");
  expect(lists.offer(document(), "dc1")).toMatchObject({ ok: false, reason: "equivocation" });
  expect(lists.held?.record.nodes).toEqual([]);
});

test("a list by another key, or for another datacenter, does not count", () => {
  const lists = book();
  expect(lists.offer(document({}, identity(201)), "dc1")).toMatchObject({ ok: false, reason: "wrong-operator" });
  expect(lists.offer(document({ datacenter: "dc2" }), "dc1")).toMatchObject({ ok: false, reason: "wrong-node" });
  expect(lists.held).toBeUndefined();
});

test("serials are in one order over all operators", () => {
  const lists = book(operator.publicKey, identity(201).publicKey);
  lists.offer(document({ serial: 9 }, identity(201)), "dc1");
  expect(lists.offer(document({ serial: 8 }), "dc1")).toMatchObject({ reason: "superseded" });
});

test("what is signed as something else is no list, whoever signed it", () => {
  const sealed = seal(BEACON, beacon(), operator);
  const offered = Buffer.from(JSON.stringify({ v: 1, list: {}, sealed: Buffer.from(sealed).toString("base64") }));
  expect(book().offer(offered, "dc1")).toMatchObject({ reason: "wrong-purpose" });
});

test("a changed readable copy is tampering", () => {
  const changed = document().toString().replace('"n1"', '"n9"');
  expect(book().offer(Buffer.from(changed), "dc1")).toMatchObject({ reason: "readable-mismatch" });
});

test("every byte of the signed list, flipped, is refused", () => {
  const { sealed, list: readable } = JSON.parse(document().toString()) as { sealed: string; list: unknown };
  const bytes = Buffer.from(sealed, "base64");
  for (let at = 0; at < bytes.length; at += 1) {
    const offered = Buffer.from(JSON.stringify({ v: 1, list: readable, sealed: Buffer.from(flipped(bytes, at)).toString("base64") }));
    expect(book().offer(offered, "dc1")).toMatchObject({ ok: false });
  }
});

test("no bytes at all make it throw", () => {
  const lists = book();
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.json().map((text) => Buffer.from(text))), (bytes) => !lists.offer(bytes, "dc1").ok));
});

test.each<[string, Partial<AllowList>]>([
  ["serial 0", { serial: 0 }],
  ["names out of order", { nodes: [{ node: "n2", publicKey: keyOf(2) }, { node: "n1", publicKey: keyOf(1) }] }],
  ["a name twice", { nodes: [{ node: "n1", publicKey: keyOf(1) }, { node: "n1", publicKey: keyOf(2) }] }],
  ["one key for two nodes", { nodes: [{ node: "n1", publicKey: keyOf(1) }, { node: "n2", publicKey: keyOf(1) }] }],
  ["half a key", { nodes: [{ node: "n1", publicKey: keyOf(1).slice(0, 32) }] }],
  ["a name that is a path", { nodes: [{ node: "../n1", publicKey: keyOf(1) }] }],
])("%s is never signed", (_, wrong) => {
  expect(() => seal(ALLOW_LIST, list(wrong), operator)).toThrow();
});

test("5,000 nodes fit", () => {
  const nodes = Array.from({ length: 5_000 }, (_, i) => ({ node: `provider-fra1-${String(i).padStart(5, "0")}`, publicKey: String(i).padStart(64, "0") }));
  expect(seal(ALLOW_LIST, list({ nodes }), operator).length).toBeLessThanOrEqual(ALLOW_LIST.maxBytes);
});
