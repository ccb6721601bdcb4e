/** What was carried, from statements of both ends: sums, amounts, and whether the two counts agree. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brokenLinks, statementsInFile } from "../../src/commands/reading/usage-statements.js";
import { timeGiven } from "../../src/commands/reading/time-given.js";
import { femtoUsdText, usageCsv, usageDocument, usageTable } from "../../src/commands/views/usage.js";
import { bytesText } from "../../src/commands/views/wording.js";
import type { Signed } from "../../src/beacon/envelope.js";
import { usageOf } from "../../src/beacon/usage.js";
import type { UsageRow, UsageStatement } from "../../src/beacon/usage-record.js";
import { identity } from "../harness/records.js";
import { ALLOCATION, keyOf, PERIOD_MS, row, seenOf, START_MS, statement } from "../harness/usage.js";

const [own, peer] = [identity(1), identity(2)];
const MB = 1_000_000;
const withPeer = (bytesIn: number, bytesOut: number, more: Partial<UsageRow> = {}): UsageRow => row({ peers: [{ key: keyOf(peer), node: "node-2", bytesIn, bytesOut }], ...more });
const told = (bytesIn: number, bytesOut: number, more: object = {}, of: Partial<UsageStatement> = {}): Signed<UsageStatement> =>
  statement({ node: "node-2", rows: [], seen: [seenOf(own, { bytesIn, bytesOut, ...more })], ...of }, peer);
const verdict = (statements: readonly Signed<UsageStatement>[]) => usageOf(statements)[0]?.peers[0]?.verdict;

test.each([
  ["the same", 40 * MB, PERIOD_MS, "agreed"],
  ["what headers may make of it", 41.5 * MB, PERIOD_MS, "agreed"],
  ["much less", 20 * MB, PERIOD_MS, "differs"],
  ["much more", 80 * MB, PERIOD_MS, "differs"],
  ["nothing, though it counted", 0, PERIOD_MS, "differs"],
  ["less, and it began to count later", 20 * MB, PERIOD_MS / 2, "unconfirmed"],
  ["more, though it began to count later", 80 * MB, PERIOD_MS / 2, "differs"],
] as const)("of 40 MB that the node says the peer counted %s: %s", (_, bytesOut, meteredMs, expected) => {
  expect(verdict([statement({ rows: [withPeer(0, 40 * MB)] }), told(0, bytesOut, { meteredMs })])).toBe(expected);
});

test("without a word of the peer's nothing is confirmed; before the period has ended at both ends nothing is judged", () => {
  const said = statement({ rows: [withPeer(0, 40 * MB)] });
  expect(usageOf([said])[0]).toMatchObject({ confirmed: { bytesOut: 0 }, peers: [{ verdict: "unconfirmed" }] });
  expect(verdict([said, told(0, 0, {}, { untilMs: START_MS + 1_000 })])).toBe("open");
  expect(verdict([statement({ rows: [withPeer(0, 40 * MB)], untilMs: START_MS + 1_000 }), told(0, 40 * MB)])).toBe("open");
});

test("a period that was cut short is judged once its node has gone on to a later one", () => {
  const [own1, peer1] = [statement({ rows: [withPeer(0, 40 * MB)], untilMs: START_MS + 30_000 }), told(0, 40 * MB, {}, { untilMs: START_MS + 30_000 })];
  const later = { periodStartMs: START_MS + 5 * PERIOD_MS, untilMs: START_MS + 5 * PERIOD_MS, rows: [], seen: [] };
  expect(verdict([own1, peer1])).toBe("open");
  expect(verdict([own1, peer1, statement(later)])).toBe("open");
  expect(verdict([own1, peer1, statement(later), statement({ ...later, node: "node-2" }, peer)])).toBe("agreed");
});

test("confirmed is the lesser of both counts, whoever says more", () => {
  expect(usageOf([statement({ rows: [withPeer(3 * MB, 80 * MB)] }), told(5 * MB, 20 * MB)])[0]?.confirmed).toEqual({ bytesIn: 3 * MB, bytesOut: 20 * MB });
});

test("a peer's word counts for its own key only: a third node's of the same exchange is not it", () => {
  const third = statement({ node: "node-3", rows: [], seen: [seenOf(own, { bytesOut: 40 * MB })] }, identity(3));
  expect(verdict([statement({ rows: [withPeer(0, 40 * MB)] }), third])).toBe("unconfirmed");
});

test("the amount is exact: each byte at the price of its time; a part without a price has none", () => {
  const parts = (prices: (number | undefined)[]) => {
    const rows = prices.map((priceMicroUsdPerGb): UsageRow => {
      const { priceMicroUsdPerGb: _, ...rest } = row({ bytesIn: 1, bytesOut: 999_999_999_999 });
      return priceMicroUsdPerGb === undefined ? rest : { ...rest, priceMicroUsdPerGb };
    });
    return usageOf([statement({ rows: rows.sort((a, b) => (a.priceMicroUsdPerGb ?? -1) - (b.priceMicroUsdPerGb ?? -1)) })])[0];
  };
  expect(parts([10_000, 25_000])).toMatchObject({ amountFemtoUsd: 10n ** 12n * 35_000n, pricesMicroUsdPerGb: [10_000, 25_000], bytesOut: 2 * 999_999_999_999 });
  expect(parts([undefined, 25_000])?.amountFemtoUsd).toBeUndefined();
  expect(femtoUsdText(10n ** 12n * 35_000n)).toBe("35");
  expect(femtoUsdText(1n)).toBe("0.000000000000001");
  expect(femtoUsdText(0n)).toBe("0");
});

test("of one period the latest word counts, and its parts are added", () => {
  const early = statement({ untilMs: START_MS + 1_000, rows: [row({ bytesOut: 5, meteredMs: 1_000 })] });
  const late = statement({ rows: [row({ bytesOut: 7 })] });
  const second = statement({ part: 1, rows: [row({ bytesOut: 11, meteredMs: 0 })] });
  for (const order of [[early, late, second], [second, late, early]]) expect(usageOf(order)).toMatchObject([{ bytesOut: 18, meteredMs: PERIOD_MS, statements: [late.hash, second.hash] }]);
});

test("a statement that follows another one than the one at hand is named", () => {
  const first = statement();
  const next = (previousHash: string) => statement({ periodStartMs: START_MS + PERIOD_MS, untilMs: START_MS + 2 * PERIOD_MS, previousHash });
  expect(brokenLinks([first, next(first.hash)])).toEqual([]);
  expect(brokenLinks([statement({ rows: [row({ bytesOut: 1 })] }), next(first.hash)])).toEqual([{ node: "node-1", datacenter: "dc1", periodStartMs: START_MS + PERIOD_MS }]);
});

test("in a file, a trusted key that speaks for another node takes both out: whose keys they are it was not told", async () => {
  const dir = mkdtempSync(join(tmpdir(), "usage-"));
  try {
    const file = async (...statements: Signed<UsageStatement>[]) => {
      const path = join(dir, "usage.json");
      writeFileSync(path, JSON.stringify({ statements: statements.map(({ sealed }) => ({ sealed: Buffer.from(sealed).toString("base64") })), rotations: [] }));
      const { statements: taken, rejected } = await statementsInFile(path, new Set([keyOf(own), keyOf(peer)]), { fromMs: 0, toMs: 0 });
      return { taken: taken.map(({ record }) => record.node), rejected: rejected.map(({ reason }) => reason.replace(/key [0-9a-f]+/, "key K")) };
    };
    const [honest, others] = [statement(), statement({ node: "node-2" }, peer)];
    expect(await file(honest, others)).toEqual({ taken: ["node-1", "node-2"], rejected: [] });
    const lie = statement({ periodStartMs: START_MS + PERIOD_MS, untilMs: START_MS + 2 * PERIOD_MS }, peer); // in node-1's name
    const said = "signed by key K: two keys speak for one node, or one for two";
    expect(await file(honest, others, lie)).toEqual({ taken: [], rejected: [said, said, said] });
    expect(await file(honest, lie)).toEqual({ taken: [], rejected: [said, said] });
    await expect(file()).resolves.toEqual({ taken: [], rejected: [] });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

const read = (statements: Signed<UsageStatement>[]) => ({ statements, rejected: [], rotations: [] });

test("rows by what is asked, one of all workloads of a node too; the table and the CSV say the same", () => {
  const other = row({ allocation: "1b".repeat(4), job: '=2+5,"x"', bytesIn: 2, bytesOut: 3 });
  const statements = [statement({ rows: [withPeer(0, 40 * MB), other] }), told(0, 40 * MB), statement({ node: "node-3", rows: [row({ allocation: "c0c0c0c0" })] }, identity(3))];
  const byNode = usageDocument(read(statements), ["node"], []);
  expect(byNode.rows).toMatchObject([{ node: "node-1", bytesIn: MB + 2, bytesOut: 50 * MB + 3, peers: { agreed: 1 }, workload: null }, { node: "node-3", bytesOut: 50 * MB }]);
  expect(usageTable(byNode, { columns: Infinity, color: false }).split("\n").map((line) => line.trimEnd())).toEqual([
    "NODE         IN      OUT  PRICE/GB          AMOUNT  CONFIRMED  PEERS",
    "node-1  1.00 MB  50.0 MB     $0.01  $0.00051000005    40.0 MB  1 agreed",
    "node-3  1.00 MB  50.0 MB     $0.01        $0.00051        0 B  -",
    "total   2.00 MB   100 MB     $0.01  $0.00102000005    40.0 MB  1 agreed",
  ]);
  // A spreadsheet must not take a job's name for a formula.
  const csv = usageCsv(usageDocument(read(statements), ["workload", "allocation"], []));
  expect(csv.split("\r\n")).toContainEqual(expect.stringMatching(/^"'=2\+5,""x""",1b1b1b1b,2,3,/));
  expect(usageDocument(read(statements), ["node"], [ALLOCATION.slice(0, 8)]).rows).toHaveLength(1);
  expect(usageTable(usageDocument(read([]), ["node"], []), { columns: 80, color: false })).toMatch(/^Nothing was carried/);
});

test.each([
  ["24h", 1_000_000_000 - 86_400_000], ["2026-11-29", Date.UTC(2026, 10, 29)], ["2026-11-29T10:30", Date.UTC(2026, 10, 29, 10, 30)], ["2026-11-29T10:30:05Z", Date.UTC(2026, 10, 29, 10, 30, 5)],
])("a time: %s", (text, expected) => expect(timeGiven("--since", text, 1_000_000_000)).toBe(expected));
test.each(["yesterday", "24", "2026-13-01", "-5h", ""])("no time: %j", (text) => expect(() => timeGiven("--since", text, 0)).toThrow("--since"));
test.each([[0, "0 B"], [999, "999 B"], [1_000, "1.00 kB"], [12_345_678, "12.3 MB"], [999_000_000_000, "999 GB"]])("%d bytes are %s", (bytes, text) => expect(bytesText(bytes)).toBe(text));
