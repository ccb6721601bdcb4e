/** Usage statements to payload bytes and back, and their purpose. As codec.ts for beacons. */
import { ibrl } from "../proto/messages.js";
import { integer, MAX_U32, messageIn, name, optional, RecordError, text } from "./codec.js";
import type { Purpose } from "./envelope.js";
import { KEY_BYTES } from "./keys.js";
import { HASH_BYTES } from "./merkle.js";
import { comparePeers, compareRows, compareSeen, type UsagePeer, type UsageRow, type UsageSeen, type UsageStatement } from "./usage-record.js";

const wire = ibrl.v1;
const MAX = Number.MAX_SAFE_INTEGER;
/** More than fits in one: a node with so much in a period signs several parts. */
const MAX_ENTRIES = 10_000;
/** From a second to a day. */
const MIN_PERIOD_MS = 1_000;
const MAX_PERIOD_MS = 86_400_000;

/** In base64 inside its JSON document it stays under Consul's 512 KiB for a KV value. */
export const USAGE: Purpose<UsageStatement> = {
  domain: "ibrl/v1/usage",
  type: wire.PayloadType.USAGE,
  maxBytes: 320 * 1024,
  encode: encodeUsage,
  decode: (payload) => readUsage(messageIn((bytes) => wire.UsageStatement.decode(bytes), payload)),
};

function encodeUsage(statement: UsageStatement): Uint8Array {
  if (statement.periodMs % 1_000 !== 0) throw new RecordError("period_s", "is not whole seconds");
  const payload: ibrl.v1.UsageStatement.$Properties = {
    node: statement.node, datacenter: statement.datacenter, epoch: statement.epoch, issued_at_ms: statement.issuedAtMs,
    period_start_ms: statement.periodStartMs, period_s: statement.periodMs / 1_000, part: statement.part, until_ms: statement.untilMs,
    ...(statement.previousHash === undefined ? {} : { previous: bytes(statement.previousHash) }),
    rows: statement.rows.map((row) => ({
      allocation: row.allocation, job: row.job, namespace: row.namespace, metered_ms: row.meteredMs, bytes_in: row.bytesIn, bytes_out: row.bytesOut,
      ...(row.priceMicroUsdPerGb === undefined ? {} : { price_microusd_per_gb: row.priceMicroUsdPerGb }),
      peers: row.peers.map(writePeer),
    })),
    seen: statement.seen.map((one) => ({ ...writePeer(one), allocation: one.allocation, metered_ms: one.meteredMs })),
  };
  readUsage(payload);
  return wire.UsageStatement.encode(payload).finish();
}

function readUsage(m: ibrl.v1.UsageStatement.$Properties): UsageStatement {
  const periodMs = integer("period_s", m.period_s, MAX_PERIOD_MS / 1_000) * 1_000;
  const periodStartMs = integer("period_start_ms", m.period_start_ms, MAX);
  if (periodMs < MIN_PERIOD_MS || periodStartMs % periodMs !== 0) throw new RecordError("period_start_ms", "does not begin a period");
  const statement: UsageStatement = {
    node: name("node", m.node),
    datacenter: name("datacenter", m.datacenter),
    epoch: integer("epoch", m.epoch, MAX),
    issuedAtMs: integer("issued_at_ms", m.issued_at_ms, MAX),
    periodStartMs, periodMs,
    part: integer("part", m.part, MAX_U32),
    untilMs: integer("until_ms", m.until_ms, periodStartMs + periodMs),
    rows: inOrder("rows", m.rows ?? [], MAX_ENTRIES, readRow, compareRows),
    seen: inOrder("seen", m.seen ?? [], MAX_ENTRIES, readSeen, compareSeen),
  };
  if (statement.untilMs < periodStartMs) throw new RecordError("until_ms", "is before its period");
  if ([...statement.rows, ...statement.seen].some(({ meteredMs }) => meteredMs > periodMs)) throw new RecordError("metered_ms", "is more than the period");
  if ((m.previous ?? []).length > 0) {
    if (m.previous?.length !== HASH_BYTES) throw new RecordError("previous", `a SHA-256 has ${String(HASH_BYTES)} bytes`);
    statement.previousHash = Buffer.from(m.previous).toString("hex");
  }
  return statement;
}

function readRow(m: ibrl.v1.UsageRow.$Properties): UsageRow {
  const row: UsageRow = {
    allocation: text("rows.allocation", m.allocation),
    job: text("rows.job", m.job),
    namespace: text("rows.namespace", m.namespace),
    meteredMs: integer("rows.metered_ms", m.metered_ms, MAX),
    ...carried("rows", m),
    peers: inOrder("rows.peers", m.peers ?? [], MAX_ENTRIES, (peer) => readPeer("rows.peers", peer), comparePeers),
  };
  const price = optional("rows.price_microusd_per_gb", m.price_microusd_per_gb, MAX);
  return price === undefined ? row : { ...row, priceMicroUsdPerGb: price };
}

function readSeen(m: ibrl.v1.UsageSeen.$Properties): UsageSeen {
  return { ...readPeer("seen", m), allocation: text("seen.allocation", m.allocation), meteredMs: integer("seen.metered_ms", m.metered_ms, MAX) };
}

function writePeer({ key, node, bytesIn, bytesOut }: UsagePeer): ibrl.v1.UsagePeer.$Properties {
  return { key: bytes(key), node, bytes_in: bytesIn, bytes_out: bytesOut };
}

function readPeer(field: string, m: ibrl.v1.UsagePeer.$Properties): UsagePeer {
  if (m.key?.length !== KEY_BYTES) throw new RecordError(`${field}.key`, `must have ${String(KEY_BYTES)} bytes`);
  return { key: Buffer.from(m.key).toString("hex"), node: name(`${field}.node`, m.node), ...carried(field, m) };
}

function carried(field: string, m: Pick<ibrl.v1.UsagePeer.$Properties, "bytes_in" | "bytes_out">) {
  return { bytesIn: integer(`${field}.bytes_in`, m.bytes_in, MAX), bytesOut: integer(`${field}.bytes_out`, m.bytes_out, MAX) };
}

/** Each once, in the one order. */
function inOrder<M, T>(field: string, listed: readonly M[], max: number, read: (message: M) => T, compare: (a: T, b: T) => number): T[] {
  if (listed.length > max) throw new RecordError(field, `${String(listed.length)} entries; at most ${String(max)}`);
  const all = listed.map(read);
  if (all.some((one, i) => i > 0 && compare(all[i - 1] as T, one) >= 0)) throw new RecordError(field, "must stand in their order, each once");
  return all;
}

function bytes(hex: string): Uint8Array {
  return Buffer.from(hex, "hex");
}
