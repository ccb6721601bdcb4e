/** Usage statements on the wire: they come back as they went, and nonsense is refused by name. */
import fc from "fast-check";
import { openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { USAGE } from "../../src/beacon/usage-codec.js";
import { sealedUsageIn, usageDocument, usageKey } from "../../src/beacon/usage-document.js";
import { comparePeers, compareRows, compareSeen, type UsageStatement } from "../../src/beacon/usage-record.js";
import { identity } from "../harness/records.js";
import { keyOf, PERIOD_MS, row, seenOf, START_MS, statement } from "../harness/usage.js";

const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const peer = fc.record({ key: fc.integer({ min: 1, max: 40 }).map((seed) => keyOf(identity(seed))), node: fc.constantFrom("node-1", "node-2"), bytesIn: count, bytesOut: count });
const unique = <T>(all: T[], compare: (a: T, b: T) => number): T[] => [...all].sort(compare).filter((one, i, sorted) => i === 0 || compare(sorted[i - 1] as T, one) !== 0);
const rows = fc.array(fc.record({
  allocation: fc.uuid(), job: fc.constantFrom("web", "db"), namespace: fc.constant("default"), priceMicroUsdPerGb: fc.integer({ min: 0, max: 1e9 }),
  meteredMs: fc.integer({ min: 0, max: PERIOD_MS }), bytesIn: count, bytesOut: count, peers: fc.array(peer, { maxLength: 5 }).map((all) => unique(all, comparePeers)),
}), { maxLength: 10 }).map((all) => unique(all, compareRows));
const seen = fc.array(fc.tuple(peer, fc.uuid(), fc.integer({ min: 0, max: PERIOD_MS })).map(([one, allocation, meteredMs]) => ({ ...one, allocation, meteredMs })), { maxLength: 10 }).map((all) => unique(all, compareSeen));

test("any statement comes back as it went", () => {
  fc.assert(fc.property(rows, seen, fc.integer({ min: 0, max: PERIOD_MS }), fc.option(fc.constant("ab".repeat(32)), { nil: undefined }), (listed, witnessed, later, previousHash) => {
    const record: UsageStatement = {
      node: "node-1", datacenter: "dc1", epoch: 3, issuedAtMs: START_MS, periodStartMs: START_MS, periodMs: PERIOD_MS, part: 0, untilMs: START_MS + later, rows: listed, seen: witnessed,
      ...(previousHash === undefined ? {} : { previousHash }),
    };
    const opened = openStatement(USAGE, seal(USAGE, record, identity(1)), new KeyAdmission());
    expect(opened).toMatchObject({ ok: true, signed: { record } });
  }), { numRuns: 100 });
});

test("every byte counts: one that is changed is refused, and nothing is thrown", () => {
  const { sealed } = statement({ seen: [seenOf(identity(2))] });
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(openStatement(USAGE, changed, new KeyAdmission()).ok).toBe(false);
  }
});

test.each([
  ["a period that does not begin one", { periodStartMs: START_MS + 1 }, /period_start_ms/],
  ["figures of after the period", { untilMs: START_MS + PERIOD_MS + 1 }, /until_ms/],
  ["figures of before the period", { untilMs: START_MS - 1 }, /until_ms/],
  ["counting for longer than the period", { rows: [row({ meteredMs: PERIOD_MS + 1 })] }, /metered_ms/],
  ["the same row twice", { rows: [row(), row()] }, /rows/],
  ["rows in another order", { rows: [row({ allocation: "b" }), row({ allocation: "a" })] }, /rows/],
  ["negative bytes", { rows: [row({ bytesIn: -1 })] }, /bytes_in/],
  ["a key of another length", { seen: [seenOf(identity(2), { key: "abcd" })] }, /seen.key/],
  ["a name that rewrites a terminal", { rows: [row({ job: "web\u001b[2J" })] }, /job/],
] as [string, Partial<UsageStatement>, RegExp][])("%s cannot be sealed", (_, fields, said) => {
  expect(() => statement(fields)).toThrow(said);
});

test("the document in KV has the sealed bytes, at the node's own place", () => {
  const signed = statement();
  expect(sealedUsageIn(Buffer.from(usageDocument(signed)))).toEqual(Buffer.from(signed.sealed));
  expect(usageKey(signed.record)).toBe(`ibrl/v1/usage/dc1/node-1/${String(START_MS)}-0`);
  for (const other of ["", "null", "[]", '{"v":2,"sealed":""}', '{"v":1,"sealed":5}']) expect(sealedUsageIn(Buffer.from(other))).toBeNull();
});
