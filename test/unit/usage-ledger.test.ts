/** The open period's account: signed as it grows, closed at its end, gone on with after a restart, and never lost to a full disk. */
import type { Signed } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { UsageStatement } from "../../src/beacon/usage-record.js";
import type { Added } from "../../src/sidecar/traffic/accounts.js";
import { UsageLedger } from "../../src/sidecar/traffic/usage-ledger.js";
import { identity } from "../harness/records.js";
import { keyOf, PERIOD_MS, START_MS } from "../harness/usage.js";

const keys = new KeyAdmission();
let written: Signed<UsageStatement>[];
let price: number | undefined;
let disk: "works" | "full";
beforeEach(() => {
  [written, price, disk] = [[], 10_000, "works"];
});

function ledger(last: Signed<UsageStatement> | null = null): UsageLedger {
  return new UsageLedger({
    keys, periodMs: PERIOD_MS, last,
    signing: () => ({ node: "node-1", datacenter: "dc1", epoch: 1, identity: identity(1) }),
    price: () => price,
    write: (statement) => {
      if (disk === "full") throw new Error("no space left");
      written.push(statement);
    },
  });
}

const allocation = (id = "a-1") => ({ id, job: "web", namespace: "default", endpoints: [] });
const bytes = (bytesIn: number, bytesOut: number, id = "a-1"): Added => ({ of: { allocation: allocation(id) }, bytesIn, bytesOut, meteredMs: 1_000 });
const newest = () => written.at(-1)?.record;

test("what is counted is signed at once, by price, with what peers had of it", () => {
  const account = ledger();
  account.add([bytes(1, 2), { of: { allocation: allocation(), peer: { key: keyOf(identity(2)), node: "node-2" } }, bytesIn: 1, bytesOut: 1, meteredMs: 1_000 }], START_MS, START_MS + 1_000);
  price = 20_000;
  account.add([bytes(10, 20)], START_MS + 1_000, START_MS + 2_000);
  account.add([bytes(100, 200), { of: { far: { key: keyOf(identity(3)), node: "node-3", allocation: "b-1" } }, bytesIn: 0, bytesOut: 0, meteredMs: 500 }], START_MS + 2_000, START_MS + 3_000);
  expect(newest()).toMatchObject({
    periodStartMs: START_MS, untilMs: START_MS + 3_000,
    rows: [
      { allocation: "a-1", priceMicroUsdPerGb: 10_000, bytesIn: 1, bytesOut: 2, meteredMs: 1_000, peers: [{ node: "node-2", bytesIn: 1, bytesOut: 1 }] },
      { allocation: "a-1", priceMicroUsdPerGb: 20_000, bytesIn: 110, bytesOut: 220, meteredMs: 2_000, peers: [] },
    ],
    seen: [{ node: "node-3", allocation: "b-1", bytesIn: 0, meteredMs: 500 }],
  });
});

test("what is read just behind a period's end is still of it, and the next statement names the one before", () => {
  const account = ledger();
  account.add([bytes(1, 1)], START_MS, START_MS + 30_000);
  account.add([bytes(2, 2)], START_MS + 30_000, START_MS + PERIOD_MS + 20);
  const closed = written.at(-1);
  expect(closed?.record).toMatchObject({ periodStartMs: START_MS, untilMs: START_MS + PERIOD_MS, rows: [{ bytesIn: 3 }] });
  account.add([bytes(4, 4)], START_MS + PERIOD_MS + 20, START_MS + PERIOD_MS + 1_000);
  expect(newest()).toMatchObject({ periodStartMs: START_MS + PERIOD_MS, untilMs: START_MS + PERIOD_MS + 1_000, previousHash: closed?.hash, rows: [{ bytesIn: 4 }] });
});

test("a count that begins just before a period's end and comes well behind it is of the next, and the period has ended all the same", () => {
  const account = ledger();
  account.add([bytes(1, 1)], START_MS, START_MS + PERIOD_MS - 1);
  account.add([bytes(2, 2)], START_MS + PERIOD_MS - 1, START_MS + PERIOD_MS + 50);
  expect(written.map(({ record }) => [record.periodStartMs, record.untilMs, record.rows[0]?.bytesIn])).toEqual([
    [START_MS, START_MS + PERIOD_MS - 1, 1], [START_MS, START_MS + PERIOD_MS, 1], [START_MS + PERIOD_MS, START_MS + PERIOD_MS + 50, 2],
  ]);
});

test("periods in which nothing runs have no statement", () => {
  const account = ledger();
  for (let i = 0; i < 5; i++) account.add([], START_MS + i * PERIOD_MS, START_MS + (i + 1) * PERIOD_MS);
  expect(written).toEqual([]);
});

test("a restart within the period goes on with it; after it the old one stays as it was", () => {
  ledger().add([bytes(1, 1)], START_MS, START_MS + 1_000);
  ledger(written.at(-1)).add([bytes(2, 2)], START_MS + 5_000, START_MS + 6_000);
  expect(newest()).toMatchObject({ untilMs: START_MS + 6_000, rows: [{ bytesIn: 3, meteredMs: 2_000 }] });
  const before = written.at(-1);
  ledger(before ?? null).add([bytes(4, 4)], START_MS + 5 * PERIOD_MS, START_MS + 5 * PERIOD_MS + 500);
  expect(newest()).toMatchObject({ periodStartMs: START_MS + 5 * PERIOD_MS, rows: [{ bytesIn: 4 }], previousHash: before?.hash });
});

test("a clock that goes back adds to the open period, and forges no earlier one", () => {
  const account = ledger();
  account.add([bytes(1, 1)], START_MS + 20_000, START_MS + 30_000);
  account.add([bytes(2, 2)], START_MS + 30_000, START_MS - 5_000);
  expect(newest()).toMatchObject({ periodStartMs: START_MS, untilMs: START_MS + 30_000, rows: [{ bytesIn: 3 }] });
});

test("a disk that is full loses nothing: all of it is written when it works again, the ended period too", () => {
  const account = ledger();
  account.add([bytes(1, 1)], START_MS, START_MS + 1_000);
  disk = "full";
  expect(() => account.add([bytes(2, 2)], START_MS + 1_000, START_MS + PERIOD_MS)).toThrow("no space left");
  expect(() => account.add([bytes(4, 4)], START_MS + PERIOD_MS, START_MS + PERIOD_MS + 1_000)).toThrow("no space left");
  disk = "works";
  account.add([bytes(8, 8)], START_MS + PERIOD_MS + 1_000, START_MS + PERIOD_MS + 2_000);
  expect(written.slice(1).map(({ record }) => [record.periodStartMs, record.rows[0]?.bytesIn])).toEqual([[START_MS, 3], [START_MS + PERIOD_MS, 12]]);
});

test("a period with more than one statement holds has parts, which together have all of it", () => {
  const account = ledger();
  for (let i = 0; i < 6_000; i += 1_000) {
    account.add(Array.from({ length: 1_000 }, (_, n) => bytes(1, 0, `allocation-${String(i + n).padStart(24, "0")}`)), START_MS + i, START_MS + i + 1_000);
  }
  const parts = new Map(written.map(({ record }) => [record.part, record]));
  expect(parts.size).toBeGreaterThan(1);
  expect([...parts.values()].reduce((sum, { rows }) => sum + rows.length, 0)).toBe(6_000);
});
