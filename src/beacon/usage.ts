/**
 * What nodes carried for their workloads, put together from verified statements: of each period, node and allocation the node's
 * own bytes, what they cost at the node's price, and what the peers that it exchanged them with counted at their end. Pure.
 */
import type { Signed } from "./envelope.js";
import { type Carried, compareStatements, isClosed, type UsageStatement } from "./usage-record.js";

/**
 * How far two ends' counts may lie apart. One end counts segments as the network carries them, the other what its card joined
 * or is still to split, so one header of 52 bytes may stand for many of 1,448 bytes of payload: 3.6 %. And packets that one
 * counted before the period's end and the other after it.
 */
const TOLERANCE_RATIO = 0.05;
const TOLERANCE_BYTES = 64 * 1024;

/**
 * `agreed`: both ends counted the same; `differs`: they did not, by loss on the way or because one says what is not so;
 * `unconfirmed`: the peer counted for a shorter time, or says nothing of it; `open`: the period has not ended at both.
 */
export type PeerVerdict = "agreed" | "differs" | "unconfirmed" | "open";

export interface Seen extends Carried {
  meteredMs: number;
}

export interface PeerUsage extends Carried {
  key: string;
  node: string;
  /** At the peer's end, and for how long it counted; absent where it says nothing of it. */
  seen?: Seen;
  verdict: PeerVerdict;
}

export interface AllocationUsage extends Carried {
  periodStartMs: number;
  periodMs: number;
  /** The figures are those up to here. */
  untilMs: number;
  node: string;
  datacenter: string;
  /** Lower-case hex of the key that signed. */
  key: string;
  job: string;
  namespace: string;
  allocation: string;
  meteredMs: number;
  /** In 1e-15 US dollars; absent where a part was carried without a price. */
  amountFemtoUsd?: bigint;
  /** Of each price that was in force, once. */
  pricesMicroUsdPerGb: readonly number[];
  peers: readonly PeerUsage[];
  /** Of the bytes, those that a peer counted too: the lesser of the two counts. */
  confirmed: Carried;
  /** Hashes of the statements that it is from. */
  statements: readonly string[];
}

/** In the order of period, node and allocation. Several statements of one node, period and part: the latest counts. */
export function usageOf(statements: readonly Signed<UsageStatement>[]): AllocationUsage[] {
  const newest = newestOf(statements);
  const latest = new Map<string, number>();
  for (const { record, key } of newest) latest.set(key.hex, Math.max(latest.get(key.hex) ?? 0, record.periodStartMs));
  // One that was cut short, by a restart in a later period, is not gone on with.
  const isOver = (key: string, { periodStartMs, periodMs }: Period, untilMs: number): boolean => isClosed({ untilMs, periodStartMs, periodMs }) || (latest.get(key) ?? 0) > periodStartMs;
  const witnesses = seenIn(newest);
  const found = new Map<string, AllocationUsage & { peerSums: Map<string, PeerUsage> }>();
  for (const { record, key, hash } of newest) {
    for (const row of record.rows) {
      const id = JSON.stringify([record.periodStartMs, record.periodMs, record.datacenter, record.node, key.hex, row.allocation]);
      const before = found.get(id) ?? {
        periodStartMs: record.periodStartMs, periodMs: record.periodMs, untilMs: record.untilMs,
        node: record.node, datacenter: record.datacenter, key: key.hex,
        job: row.job, namespace: row.namespace, allocation: row.allocation,
        meteredMs: 0, bytesIn: 0, bytesOut: 0, amountFemtoUsd: 0n, pricesMicroUsdPerGb: [], peers: [], peerSums: new Map<string, PeerUsage>(),
        confirmed: { bytesIn: 0, bytesOut: 0 }, statements: [],
      };
      const { amountFemtoUsd: sum, ...rest } = before;
      const amount = row.priceMicroUsdPerGb === undefined ? amountWithoutPrice(row) : BigInt(row.priceMicroUsdPerGb) * (BigInt(row.bytesIn) + BigInt(row.bytesOut));
      for (const peer of row.peers) {
        const known = rest.peerSums.get(peer.key);
        rest.peerSums.set(peer.key, { key: peer.key, node: peer.node, ...plus(known, peer), verdict: "open" });
      }
      found.set(id, {
        ...rest, ...plus(rest, row),
        untilMs: Math.max(rest.untilMs, record.untilMs),
        meteredMs: rest.meteredMs + row.meteredMs,
        pricesMicroUsdPerGb: row.priceMicroUsdPerGb === undefined || rest.pricesMicroUsdPerGb.includes(row.priceMicroUsdPerGb) ? rest.pricesMicroUsdPerGb : [...rest.pricesMicroUsdPerGb, row.priceMicroUsdPerGb],
        statements: rest.statements.includes(hash) ? rest.statements : [...rest.statements, hash],
        ...(sum === undefined || amount === undefined ? {} : { amountFemtoUsd: sum + amount }),
      });
    }
  }
  return [...found.values()]
    .map(({ peerSums, ...usage }) => withPeers(usage, peerSums, witnesses, isOver))
    .sort((a, b) => a.periodStartMs - b.periodStartMs || order(a.datacenter, b.datacenter) || order(a.node, b.node) || order(a.allocation, b.allocation) || order(a.key, b.key));
}

/** The latest word on each node's period and part, whichever of its keys said it. */
export function newestOf(statements: readonly Signed<UsageStatement>[]): Signed<UsageStatement>[] {
  const newest = new Map<string, Signed<UsageStatement>>();
  for (const one of [...statements].sort((a, b) => compareStatements(a.record, b.record))) {
    const { datacenter, node, periodStartMs, periodMs, part } = one.record;
    newest.set(JSON.stringify([datacenter, node, periodStartMs, periodMs, part]), one);
  }
  return [...newest.values()];
}

type Period = Pick<UsageStatement, "periodStartMs" | "periodMs">;

interface Witness {
  untilMs: number;
  /** By the key of the node that the workload runs on, and the allocation. */
  seen: ReadonlyMap<string, Seen>;
}

/** By the key of the node that saw, and the period. */
function seenIn(statements: readonly Signed<UsageStatement>[]): Map<string, Witness> {
  const witnesses = new Map<string, Witness & { seen: Map<string, Seen> }>();
  for (const { record, key } of statements) {
    const id = witnessOf(key.hex, record);
    const witness = witnesses.get(id) ?? { untilMs: 0, seen: new Map<string, Seen>() };
    witness.untilMs = Math.max(witness.untilMs, record.untilMs);
    for (const one of record.seen) {
      const of = `${one.key} ${one.allocation}`;
      const before = witness.seen.get(of);
      witness.seen.set(of, { ...plus(before, one), meteredMs: (before?.meteredMs ?? 0) + one.meteredMs });
    }
    witnesses.set(id, witness);
  }
  return witnesses;
}

function withPeers(usage: AllocationUsage, sums: ReadonlyMap<string, PeerUsage>, witnesses: ReadonlyMap<string, Witness>, isOver: (key: string, period: Period, untilMs: number) => boolean): AllocationUsage {
  const peers = [...sums.values()].map((peer): PeerUsage => {
    const witness = witnesses.get(witnessOf(peer.key, usage));
    const seen = witness?.seen.get(`${usage.key} ${usage.allocation}`);
    const told = seen === undefined ? peer : { ...peer, seen };
    if (!isOver(usage.key, usage, usage.untilMs)) return { ...told, verdict: "open" };
    if (witness === undefined || seen === undefined) return { ...told, verdict: "unconfirmed" };
    if (!isOver(peer.key, usage, witness.untilMs)) return { ...told, verdict: "open" };
    if (isNear(peer.bytesIn, seen.bytesIn) && isNear(peer.bytesOut, seen.bytesOut)) return { ...told, verdict: "agreed" };
    // What was exchanged before the peer heard of the workload it cannot know; more than the node's own it cannot have seen.
    const later = seen.meteredMs < (1 - TOLERANCE_RATIO) * usage.meteredMs && seen.bytesIn <= peer.bytesIn && seen.bytesOut <= peer.bytesOut;
    return { ...told, verdict: later ? "unconfirmed" : "differs" };
  });
  const confirmed = peers.reduce((sum, { bytesIn, bytesOut, seen }) =>
    plus(sum, { bytesIn: Math.min(bytesIn, seen?.bytesIn ?? 0), bytesOut: Math.min(bytesOut, seen?.bytesOut ?? 0) }), { bytesIn: 0, bytesOut: 0 });
  return { ...usage, peers: peers.sort((a, b) => order(a.key, b.key)), confirmed };
}

function witnessOf(key: string, { periodStartMs, periodMs }: Period): string {
  return `${key} ${String(periodStartMs)} ${String(periodMs)}`;
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= Math.max(TOLERANCE_BYTES, TOLERANCE_RATIO * Math.max(a, b));
}

/** Nothing carried costs nothing, whatever the price. */
function amountWithoutPrice({ bytesIn, bytesOut }: Carried): bigint | undefined {
  return bytesIn + bytesOut === 0 ? 0n : undefined;
}

function plus(a: Carried | undefined, b: Carried): Carried {
  return { bytesIn: (a?.bytesIn ?? 0) + b.bytesIn, bytesOut: (a?.bytesOut ?? 0) + b.bytesOut };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
