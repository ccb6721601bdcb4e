/**
 * What a node signs of the bytes that it carried for its workloads, a statement for each period: its own counters, and what it
 * exchanged with workloads of its peers, by which others can check theirs. Not how it is counted (src/sidecar/traffic) and not
 * how the two are put together (usage.ts). In and out are the workload's, in bytes of IP packets, headers included.
 * Times are Unix milliseconds.
 */

export interface Carried {
  bytesIn: number;
  bytesOut: number;
}

export interface UsagePeer extends Carried {
  /** Lower-case hex of the whole key, and the node's name for people. */
  key: string;
  node: string;
}

export interface UsageRow extends Carried {
  allocation: string;
  job: string;
  namespace: string;
  /** While it was carried; absent where the node had none. */
  priceMicroUsdPerGb?: number;
  /** How long of the period its packets were counted. */
  meteredMs: number;
  /** Of these bytes, what was exchanged with peers. In the order of their keys. */
  peers: readonly UsagePeer[];
}

/** By the key of the node that the workload runs on. */
export interface UsageSeen extends UsagePeer {
  allocation: string;
  /** One that was counted and exchanged nothing is there with 0 bytes: it contradicts who says otherwise. */
  meteredMs: number;
}

export interface UsageStatement {
  node: string;
  datacenter: string;
  epoch: number;
  issuedAtMs: number;
  periodStartMs: number;
  periodMs: number;
  /** Of a period with more rows than fit, from 0. */
  part: number;
  /** The figures are those up to here. */
  untilMs: number;
  /** Lower-case hex SHA-256 of the node's sealed statement before; absent in its first. */
  previousHash?: string;
  rows: readonly UsageRow[];
  seen: readonly UsageSeen[];
}

/** Its figures are those of the whole period. */
export function isClosed({ untilMs, periodStartMs, periodMs }: Pick<UsageStatement, "untilMs" | "periodStartMs" | "periodMs">): boolean {
  return untilMs >= periodStartMs + periodMs;
}

/** Of a node's statement among its others: in KV, and on its disk. */
export function statementName({ periodStartMs, part }: Pick<UsageStatement, "periodStartMs" | "part">): string {
  return `${String(periodStartMs)}-${String(part)}`;
}

/** Of two statements of a node: which period and part comes first. */
export function compareStatements(a: UsageStatement, b: UsageStatement): number {
  return a.periodStartMs - b.periodStartMs || a.part - b.part || a.untilMs - b.untilMs;
}

/** Rows stand in one order, so that one account has one spelling. */
export function compareRows(a: UsageRow, b: UsageRow): number {
  return ordered(a.allocation, b.allocation) || (a.priceMicroUsdPerGb ?? -1) - (b.priceMicroUsdPerGb ?? -1);
}
export function comparePeers(a: UsagePeer, b: UsagePeer): number {
  return ordered(a.key, b.key);
}
export function compareSeen(a: UsageSeen, b: UsageSeen): number {
  return comparePeers(a, b) || ordered(a.allocation, b.allocation);
}

export function periodOf(ms: number, periodMs: number): number {
  return Math.floor(ms / periodMs) * periodMs;
}

function ordered(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
