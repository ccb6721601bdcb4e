/** Usage statements for tests: real keys, real seals, opened like any other. */
import { openStatement, seal, type Signed } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { USAGE } from "../../src/beacon/usage-codec.js";
import type { UsageRow, UsageSeen, UsageStatement } from "../../src/beacon/usage-record.js";
import { identity, NOW_MS, type TestIdentity } from "./records.js";

export const PERIOD_MS = 60_000;
export const START_MS = Math.floor(NOW_MS / PERIOD_MS) * PERIOD_MS;
export const ALLOCATION = "0a9b4c8d-0000-4000-8000-112233445566";
export const keyOf = (by: TestIdentity): string => Buffer.from(by.publicKey).toString("hex");

export function row(fields: Partial<UsageRow> = {}): UsageRow {
  return { allocation: ALLOCATION, job: "web", namespace: "default", priceMicroUsdPerGb: 10_000, meteredMs: PERIOD_MS, bytesIn: 1_000_000, bytesOut: 50_000_000, peers: [], ...fields };
}

export function seenOf(by: TestIdentity, fields: Partial<UsageSeen> = {}): UsageSeen {
  return { key: keyOf(by), node: "node-1", allocation: ALLOCATION, meteredMs: PERIOD_MS, bytesIn: 0, bytesOut: 0, ...fields };
}

export function statement(fields: Partial<UsageStatement> = {}, by: TestIdentity = identity(1)): Signed<UsageStatement> {
  const record = { node: "node-1", datacenter: "dc1", epoch: 1, issuedAtMs: START_MS + PERIOD_MS, periodStartMs: START_MS, periodMs: PERIOD_MS, part: 0, untilMs: START_MS + PERIOD_MS, rows: [row()], seen: [], ...fields };
  const opened = openStatement(USAGE, seal(USAGE, record, by), new KeyAdmission());
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.signed;
}
