/** What the kernel is asked to count, what it says, and what becomes of that: totals that only grow. */
import fc from "fast-check";
import { TrafficAccounts } from "../../src/sidecar/traffic/accounts.js";
import { type Counter, counterId, countersFor } from "../../src/sidecar/traffic/counters.js";
import { countsIn } from "../../src/sidecar/traffic/nft-table.js";

const allocation = (id: string, port: number, ownAddress?: string) => ({ id, job: "web", namespace: "default", endpoints: [{ address: "10.0.0.1", port }], ...(ownAddress === undefined ? {} : { ownAddress }) });
const peer = (n: number, workloads?: { id: string; endpoints: { address: string; port: number }[] }[]) => ({ key: String(n).repeat(64), node: `node-${String(n)}`, address: `10.0.0.${String(n)}`, ...(workloads === undefined ? {} : { workloads }) });
const ids = (counted: ReturnType<typeof countersFor>) => counted.flatMap(({ counters }) => counters.map(counterId));

test("a host port is counted, its share with each peer, and the workloads of those that this node has a link with", () => {
  const counted = countersFor({ address: "10.0.0.1", allocations: [allocation("a", 8080)], peers: [peer(2, [{ id: "b", endpoints: [{ address: "10.0.0.2", port: 9090 }] }]), peer(3)] });
  expect(ids(counted)).toEqual([
    "served in 10.0.0.1 8080 ", "served out 10.0.0.1 8080 ",
    "peer in 10.0.0.1 8080 10.0.0.2", "peer out 10.0.0.1 8080 10.0.0.2", "peer in 10.0.0.1 8080 10.0.0.3", "peer out 10.0.0.1 8080 10.0.0.3",
    "far in 10.0.0.2 9090 10.0.0.1", "far out 10.0.0.2 9090 10.0.0.1",
  ]);
});

test("an allocation with a network of its own is counted by its address, also what it asks for itself; its host port is the peers'", () => {
  expect(ids(countersFor({ address: "10.0.0.1", allocations: [allocation("a", 8080, "172.26.64.5")], peers: [peer(2)] }))).toEqual([
    "own in 172.26.64.5  ", "own out 172.26.64.5  ", "peer in 10.0.0.1 8080 10.0.0.2", "peer out 10.0.0.1 8080 10.0.0.2",
  ]);
});

test("IPv6 is spelled as the kernel spells it, and never paired with IPv4", () => {
  const counted = countersFor({ address: "2001:DB8:0:0::1", allocations: [{ ...allocation("a", 1), endpoints: [{ address: "2001:db8:0::1", port: 80 }] }], peers: [{ ...peer(2), address: "2001:db8::2" }, peer(3)] });
  expect(ids(counted)).toEqual(["served in 2001:db8::1 80 ", "served out 2001:db8::1 80 ", "peer in 2001:db8::1 80 2001:db8::2", "peer out 2001:db8::1 80 2001:db8::2"]);
});

test("what is no address and no port gets into no command, whoever signed it", () => {
  const hostile = ["10.0.0.1 }; delete table inet x; add element inet x y { 10.0.0.1", "fe80::1%eth0", "", "localhost", "10.0.0.256", "10.0.0.1\n"];
  fc.assert(fc.property(fc.constantFrom(...hostile), fc.constantFrom(0, -1, 65_536, 1.5, Number.NaN, 80), (address, port) => {
    const all = countersFor({ address: "10.0.0.1", allocations: [{ ...allocation("a", 80), endpoints: [{ address, port }], ownAddress: address }], peers: [{ ...peer(2, [{ id: "b", endpoints: [{ address, port }, { address: "10.0.0.2", port }] }]), address: "10.0.0.2" }, { ...peer(3), address }] });
    for (const { address: at, other = "10.0.0.1", port: on = 80 } of all.flatMap(({ counters }) => counters)) {
      expect([at, other]).toEqual([expect.stringMatching(/^[0-9a-f.:]+$/), expect.stringMatching(/^[0-9a-f.:]+$/)]);
      expect(Number.isInteger(on) && on > 0 && on < 65_536).toBe(true);
    }
  }));
});

test("with more pairs than the kernel is to hold, workloads are counted and peers are not", () => {
  const peers = Array.from({ length: 200 }, (_, i) => ({ ...peer(2), key: String(i), address: `10.1.0.${String(i + 1)}` }));
  const counted = countersFor({ address: "10.0.0.1", allocations: Array.from({ length: 100 }, (_, i) => allocation(String(i), 1_000 + i)), peers });
  expect(new Set(counted.flatMap(({ counters }) => counters.map(({ kind }) => kind)))).toEqual(new Set(["served"]));
});

test("what nft prints is read: both families, and nothing else of the table", () => {
  const listed = `table inet ibrl_x { # progname nft
\tflags owner

\tset served_in {
\t\ttype ipv4_addr . inet_service
\t\tcounter
\t\telements = { 10.0.0.1 . 8080 counter packets 3 bytes 180,
\t\t\t     10.0.0.1 . 8081 counter packets 0 bytes 0 }
\t}

\tset own_out6 {
\t\ttype ipv6_addr
\t\tcounter
\t\telements = { 2001:db8::1 counter packets 1 bytes 72 }
\t}

\tset peer_out {
\t\ttype ipv4_addr . inet_service . ipv4_addr
\t\tcounter
\t\telements = { 10.0.0.1 . 8080 . 10.0.0.2 counter packets 9007 bytes 9007199254740991 }
\t}

\tchain before {
\t\ttype filter hook prerouting priority -350; policy accept;
\t}
}`;
  expect([...countsIn(listed)]).toEqual([["served in 10.0.0.1 8080 ", 180], ["served in 10.0.0.1 8081 ", 0], ["own out 2001:db8::1  ", 72], ["peer out 10.0.0.1 8080 10.0.0.2", Number.MAX_SAFE_INTEGER]]);
});

const [counted] = countersFor({ address: "10.0.0.1", allocations: [allocation("a", 8080)], peers: [] });
const [inward, outward] = (counted?.counters ?? []) as [Counter, Counter];
const counts = (bytesIn: number, bytesOut: number) => new Map([[counterId(inward), bytesIn], [counterId(outward), bytesOut]]);

test("totals grow by what was added, also where the kernel began anew; time counts from the first count on", () => {
  const accounts = new TrafficAccounts();
  accounts.follow([counted!]);
  expect(accounts.take(new Map(), 1_000)).toEqual([]);
  expect(accounts.take(counts(10, 20), 2_000)).toMatchObject([{ bytesIn: 10, bytesOut: 20, meteredMs: 0 }]);
  accounts.take(counts(15, 20), 3_000);
  accounts.lost();
  expect(accounts.take(counts(1, 2), 9_000)).toMatchObject([{ bytesIn: 1, bytesOut: 2, meteredMs: 0 }]);
  accounts.take(counts(2, 2), 10_000);
  expect(accounts.totals.get("a")).toEqual({ bytesIn: 17, bytesOut: 22, meteredMs: 2_000 });
});

test("an allocation that is over keeps its total for who asks later", () => {
  const accounts = new TrafficAccounts();
  accounts.follow([counted!]);
  accounts.take(counts(10, 20), 1_000);
  accounts.follow([]);
  expect(accounts.totals.get("a")).toMatchObject({ bytesIn: 10 });
});

test("however the kernel's counts go, totals never shrink", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(1e6), fc.nat(1e6), fc.boolean()), { maxLength: 40 }), (reads) => {
    const accounts = new TrafficAccounts();
    accounts.follow([counted!]);
    let before = 0;
    for (const [at, [bytesIn, bytesOut, lost]] of reads.entries()) {
      if (lost) accounts.lost();
      for (const added of accounts.take(counts(bytesIn, bytesOut), at * 100)) expect(Math.min(added.bytesIn, added.bytesOut, added.meteredMs)).toBeGreaterThanOrEqual(0);
      const now = accounts.totals.get("a")?.bytesIn ?? 0;
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
  }));
});
