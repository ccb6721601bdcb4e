/**
 * What the kernel is asked to count, and what its counts are of: from the allocations of this node and the workloads of its
 * peers to sets of addresses and ports. Pure; how the kernel counts is nft-table.ts.
 *
 *   served   host port of an allocation here          own   address of an allocation with a network of its own
 *   peer     of the served, what one peer exchanged   far   host port of an allocation on a peer, from this node's address
 */
import { isIP, isIPv6, SocketAddress } from "node:net";
import type { Endpoint } from "../../beacon/record.js";
import type { UsagePeer } from "../../beacon/usage-record.js";

export type SetKind = "served" | "own" | "peer" | "far";

/** One element of one of the table's sets. In and out are the workload's. */
export interface Counter {
  kind: SetKind;
  direction: "in" | "out";
  /** The workload's. */
  address: string;
  port?: number;
  /** At the other end. */
  other?: string;
}

/** An allocation here, as Nomad has it. */
export interface LocalAllocation {
  id: string;
  job: string;
  namespace: string;
  endpoints: readonly Endpoint[];
  /** Of its own network (bridge mode): all that it exchanges passes there. */
  ownAddress?: string;
}

/** A believed node, by its signed state. */
export interface PeerNode {
  key: string;
  node: string;
  address: string;
  /** Those that this node has a link with: its word on them counts. Absent: none of its workloads are counted here. */
  workloads?: readonly { id: string; endpoints?: readonly Endpoint[] }[];
}

export interface Counted {
  /** One total of it: an allocation's, its share with one peer, or an allocation of a peer. */
  of: { allocation: LocalAllocation; peer?: Pick<UsagePeer, "key" | "node"> } | { far: { key: string; node: string; allocation: string } };
  counters: readonly Counter[];
}

/** Elements of the kernel's sets, in all: a node with more pairs of workload and peer counts its workloads, and no peers. */
const MAX_PAIRS = 16_384;

/** What is no IP address or port, whoever says so, is not counted: nothing else gets into a command of nft. */
export function countersFor(all: { address: string; allocations: readonly LocalAllocation[]; peers: readonly PeerNode[] }): Counted[] {
  const address = canonical(all.address);
  const allocations = all.allocations.map(({ ownAddress, ...allocation }): LocalAllocation => {
    const own = ownAddress === undefined ? undefined : canonical(ownAddress);
    return { ...allocation, endpoints: reachable(allocation.endpoints), ...(own === undefined ? {} : { ownAddress: own }) };
  });
  const peers = all.peers.flatMap((peer) => {
    const at = canonical(peer.address);
    return at === undefined ? [] : [{ ...peer, address: at }];
  });
  const own = allocations.flatMap((allocation): Counted[] => {
    const counters = allocation.ownAddress === undefined ? allocation.endpoints.flatMap((at) => bothWays("served", at)) : bothWays("own", { address: allocation.ownAddress });
    return counters.length === 0 ? [] : [{ of: { allocation }, counters }];
  });
  const others = peers.filter((peer) => peer.address !== address);
  if (address === undefined) return own;
  const pairs = allocations.flatMap((allocation) =>
    others.flatMap(({ key, node, address: other }): Counted[] => {
      const counters = allocation.endpoints.flatMap((at) => bothWays("peer", { ...at, other }));
      return counters.length === 0 ? [] : [{ of: { allocation, peer: { key, node } }, counters }];
    }));
  const far = others.flatMap(({ key, node, workloads = [] }) =>
    workloads.flatMap(({ id, endpoints = [] }): Counted[] => {
      const counters = reachable(endpoints).flatMap((at) => bothWays("far", { ...at, other: address }));
      return counters.length === 0 ? [] : [{ of: { far: { key, node, allocation: id } }, counters }];
    }));
  return [...own, ...within(pairs), ...within(far)];
}

export function counterId({ kind, direction, address, port, other }: Counter): string {
  return [kind, direction, address, port, other].join(" ");
}

export function isV6(counter: Counter): boolean {
  return isIPv6(counter.address);
}

/** In the spelling that nft prints. */
function canonical(address: string): string | undefined {
  const family = isIP(address);
  if (family === 0 || address.includes("%")) return undefined;
  return new SocketAddress({ address, family: family === 6 ? "ipv6" : "ipv4" }).address;
}

function reachable(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.flatMap(({ address, port }) => {
    const at = canonical(address);
    return at === undefined || !Number.isInteger(port) || port < 1 || port > 65_535 ? [] : [{ address: at, port }];
  });
}

function bothWays(kind: SetKind, at: Omit<Counter, "kind" | "direction">): Counter[] {
  // Two families never meet in one packet.
  if (at.other !== undefined && isIPv6(at.address) !== isIPv6(at.other)) return [];
  return [{ kind, direction: "in", ...at }, { kind, direction: "out", ...at }];
}

function within(pairs: Counted[]): Counted[] {
  return pairs.reduce((sum, { counters }) => sum + counters.length, 0) > MAX_PAIRS ? [] : pairs;
}
