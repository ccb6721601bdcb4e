/** The allow-lists that a beacon network admits: newer ones count, others leave the one before, and an end is an end. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AllowList, ALLOW_LIST, allowListDocument } from "../../src/beacon/allow-list.js";
import { openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { MemberLists } from "../../src/sidecar/network/member-lists.js";
import { identity, NOW_MS } from "../harness/records.js";
import { keyOf } from "../harness/usage.js";

const operator = identity(77);
let dir: string;
let nowMs: number;
let logged: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "member-lists-"));
  [nowMs, logged] = [NOW_MS, []];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const path = () => join(dir, "dc1.list");
function put(fields: Partial<AllowList> = {}, by = operator): void {
  const list = { datacenter: "dc1", serial: 1, issuedAtMs: NOW_MS, nodes: [{ node: "node-1", publicKey: keyOf(identity(1)) }], ...fields };
  const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, list, by), new KeyAdmission());
  if (!opened.ok) throw new Error(opened.detail);
  writeFileSync(path(), allowListDocument(opened.signed));
}
const lists = () => new MemberLists({
  paths: [path()], operators: new Set([keyOf(operator)]), keys: new KeyAdmission(), clock: { nowMs: () => nowMs, sleep: async () => {} },
  logger: { info: (_, message) => logged.push(message), error: (fields, message) => logged.push(`${(fields as { reason: string }).reason} | ${message}`) },
});
const serial = (of: MemberLists) => of.held[0]?.serial;

test("a newer list counts from the next look on, and is said once", () => {
  put();
  const members = lists();
  expect(members.look()).toBe(false);
  put({ serial: 2, nodes: [] });
  expect([members.look(), serial(members), members.look()]).toEqual([true, 2, false]);
  expect(logged).toEqual(["a newer allow-list counts"]);
});

test.each<[string, () => void, RegExp]>([
  ["an older one", () => put({ serial: 4 }), /has serial 4; the list that counts has 5/],
  ["another of the same serial", () => put({ serial: 5, issuedAtMs: NOW_MS + 1 }), /has serial 5/],
  ["another datacenter's", () => put({ serial: 6, datacenter: "dc2" }), /is of datacenter dc2/],
  ["one that somebody else signed", () => put({ serial: 6 }, identity(5)), /which no --operator-key names/],
  ["one that is over", () => put({ serial: 6, expiresAtMs: NOW_MS - 1 }), /is over its end/],
  ["no list", () => writeFileSync(path(), "{}"), /is no signed allow-list/],
  ["nothing", () => rmSync(path()), /cannot be read/],
])("%s leaves the one before it, and the reason is said once", (_, change, reason) => {
  put({ serial: 5 });
  const members = lists();
  change();
  expect([members.look(), members.look(), serial(members)]).toEqual([false, false, 5]);
  expect(logged).toEqual([expect.stringMatching(reason)]);
  put({ serial: 7 });
  expect([members.look(), serial(members)]).toEqual([true, 7]);
});

test("a list that comes to its end while the server runs names nobody any more", () => {
  put({ expiresAtMs: NOW_MS + 1_000 });
  const members = lists();
  nowMs += 2_000;
  expect([members.look(), members.held[0]?.nodes, members.look()]).toEqual([true, [], false]);
});

test("at the start one that cannot be used is an error that names the file", () => {
  writeFileSync(path(), "{}");
  expect(lists).toThrow(/--admit: .*dc1\.list is no signed allow-list/);
});
