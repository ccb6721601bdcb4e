/**
 * What the network does to packets is what the listing says, in network namespaces with real agents: loss by iptables
 * and its direction, a rate limit by tc, a link set down. Each within two periods: the heartbeat, here as long as the
 * headline's window, on the node's own listing and on another node's, counted in the beacons that the node itself sealed
 * meanwhile. A machine that is slow seals fewer.
 */
import { decodeState } from "../../src/beacon/state-codec.js";
import type { NodeState, SignedLinkHalf } from "../../src/beacon/record.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { ibrl } from "../../src/proto/messages.js";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../src/dev/project-root.js";
import { eventually, runsSecured, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { type Namespace, NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import { listedNode, metric, sidecarOf } from "../harness/observe.js";
import { RoutedService } from "../harness/routed-service.js";

const PERIOD_MS = 6_000;
const BEAT_MS = 1_000;
/** One more for the beacon in making when it began, one for the look at what stands there at the end. */
const TWO_PERIODS = (2 * PERIOD_MS) / BEAT_MS + 2;
const PROBE_MS = 50;
const LOSS = 0.3;
/** Four standard deviations of their loss are 11 percentage points. A lost one takes a second, so more take minutes. */
const ENOUGH_PROBES = 300;
const WITHIN = { timeoutMs: 60_000, everyMs: 250 };
let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;
let nodes: [LocalNode, LocalNode, LocalNode];
let third: Namespace;
let web: RoutedService;

beforeAll(async () => {
  const why = await whyNoNamespaces("iptables", "tc");
  if (why !== null) throw new Error(why);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(3, folder);
  cluster = await startTestCluster({
    placement: (index) => network.nodes[index]!.placement,
    // As many probes as may be: the more there are, the narrower is what may be lost of them.
    sidecarArgs: () => [`--beat=${String(BEAT_MS)}ms`, `--heartbeat-min=${String(PERIOD_MS)}ms`, "--validity-min=60s", `--probe-interval=${String(PROBE_MS)}ms`, `--probe-window=${String(PERIOD_MS)}ms`, "--insecure-bind"],
  });
  nodes = cluster.nodes as typeof nodes;
  third = network.nodes[2]!;
  web = new RoutedService(cluster, network.nodes, folder);
}, 180_000);
afterAll(async () => {
  await web?.stop();
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

interface Listed {
  latency_ms?: number;
  jitter_ms?: number;
  packet_loss?: number;
}
const listedBy = async (reader: LocalNode, node: LocalNode): Promise<Listed> => (await listedNode(sidecarOf(reader), node.name)).beacon as Listed;
/** As the node itself lists itself: its newest word. */
const own = (node: LocalNode): Promise<Listed> => listedBy(node, node);

/** The node's end of the link to a peer, from its signed state. */
async function half(node: LocalNode, peer: LocalNode): Promise<SignedLinkHalf> {
  const { sealed_state: sealed = "" } = await listedNode(sidecarOf(node), node.name);
  const state: NodeState = decodeState(ibrl.v1.Envelope.decode(Buffer.from(sealed, "base64")).payload);
  const found = state.links?.find((link) => link.peer === peer.name);
  if (found === undefined) throw new Error(`${node.name} has no half of its link to ${peer.name}`);
  return found;
}

const sealed = async (node: LocalNode) => (await metric(sidecarOf(node), "hypercore_ibrl_sequence")) ?? Number.NaN;

/**
 * Holds in the end of what the node and another one list of it, and before the node has sealed more beacons than two
 * periods have. `readers`: the other one, unless nothing can reach it.
 */
async function withinTwoPeriods(node: LocalNode, seen: (listed: Listed) => void, readers = [node, nodes[0]]): Promise<void> {
  const from = await sealed(node);
  const beacons = await Promise.all(readers.map(async (reader) => {
    await eventually(async () => seen(await listedBy(reader, node)), WITHIN);
    return (await sealed(node)) - from;
  }));
  for (const taken of beacons) expect(taken).toBeLessThanOrEqual(TWO_PERIODS);
}

/** What may be lost of so many where this share is, but once in 15,000 times: four standard deviations of the binomial. */
function lossBounds(share: number, probes: number): [least: number, most: number] {
  const wide = 4 * Math.sqrt((share * (1 - share)) / probes);
  return [share - wide, share + wide];
}

/** Probes of the node since it started whose outcome is known. */
async function probes(node: LocalNode): Promise<{ sent: number; lost: number }> {
  const count = async (name: string) => (await metric(sidecarOf(node), `hypercore_ibrl_probes_${name}_total`)) ?? Number.NaN;
  return { lost: await count("lost"), sent: await count("sent") };
}

test("on a clean network everything is measured, nothing is lost, and no value is a constant", async () => {
  await eventually(async () => {
    for (const node of nodes) {
      const listed = await own(node);
      expect(listed.latency_ms).toBeGreaterThan(0);
      expect(listed.latency_ms).toBeLessThan(50);
      expect(listed.jitter_ms).toBeGreaterThan(0);
      expect(listed.packet_loss).toBe(0);
      expect(await metric(sidecarOf(node), "hypercore_ibrl_probe_peers_answering")).toBe(2);
      expect(await metric(sidecarOf(node), "hypercore_ibrl_latency_seconds", { source: "measured" })).toBeGreaterThan(0);
      expect(await metric(sidecarOf(node), "hypercore_ibrl_latency_seconds", { source: "estimated" })).toBeUndefined();
    }
    const latencies = await Promise.all(nodes.map(async (node) => (await own(node)).latency_ms));
    expect(new Set(latencies).size).toBe(3);
  }, { timeoutMs: 90_000 });
}, 120_000);

/** Near the third node, but last where more than 21 % is lost. */
const NEAR_THIRD = { version: 2, name: "near", mode: "permissive", rules: { max_packet_loss: 21, links: [{ node: "node-3" }] }, scoring: { link_weight: 1 } };

test("loss towards one node: seen by the others as lost on the way there, by itself as lost on the way back, and cluster route turns away from it", async () => {
  const [first] = nodes;
  const order = (...of: LocalNode[]) => of.map(({ address }) => `${address}:8080`);
  for (const node of [first, nodes[2]]) await web.run(node);
  if (!runsSecured) { // there the reader's token, as it is shipped, may not read the service
    await web.route(NEAR_THIRD);
    await eventually(() => expect(web.upstreams()).toEqual(order(nodes[2], first)));
    await eventually(async () => expect(await web.ask()).toBe("node-3"));
    const near = join(projectRoot(), "nomad/policies/wasm/low-latency.wasm");
    await eventually(async () => expect((await web.once("web", near)).split(" ").sort()).toEqual(order(nodes[2], first).sort()));
    await expect(web.once("nothing", join(projectRoot(), "nomad/policies/permissive.json"))).rejects.toThrow(/service "nothing" has no live instance/);
  }
  await third.loseIncoming(LOSS);
  try {
    // Its own probes leave; 30 % of the answers to them do not arrive. Lost probes are waited for, so a window has few:
    // how near the loss is to the truth is asked of more of them, below.
    await withinTwoPeriods(nodes[2], ({ packet_loss: percent }) => expect(percent).toBeGreaterThan(15));
    const began = await probes(nodes[2]);
    // The halves of the links tell the two directions apart.
    await eventually(async () => {
      const there = await half(first, nodes[2]);
      const back = await half(nodes[2], first);
      expect(there.direction?.forwardLost).toBeGreaterThan(20);
      expect(there.direction?.backwardLost).toBe(0);
      expect(back.direction?.backwardLost).toBeGreaterThan(20);
      expect(back.direction?.forwardLost).toBe(0);
      const untouched = await half(first, nodes[1]);
      expect(untouched.sent - untouched.received).toBe(0);
    }, WITHIN);
    await eventually(async () => expect((await probes(nodes[2])).sent).toBeGreaterThan(began.sent + ENOUGH_PROBES), WITHIN);
    const now = await probes(nodes[2]);
    const [fewest, highest] = lossBounds(LOSS, now.sent - began.sent);
    const lossRatio = (now.lost - began.lost) / (now.sent - began.sent);
    expect(lossRatio).toBeGreaterThan(fewest);
    expect(lossRatio).toBeLessThan(highest);
    // A lost probe never enters a round trip: half of the peers answer, and their latency is what it was.
    expect((await own(nodes[2])).latency_ms).toBeLessThan(50);
    if (!runsSecured) {
      await eventually(() => expect(web.upstreams()).toEqual(order(first, nodes[2])), WITHIN);
      await eventually(async () => expect(await web.ask()).toBe("node-1"));
    }
  } finally {
    await third.loseIncoming(0);
  }
  await withinTwoPeriods(nodes[2], ({ packet_loss: percent }) => expect(percent).toBe(0));
}, 180_000);

test("the prepared query that is shipped reaches the nearest instance, and the next where that one fails", async () => {
  const body = readFileSync(join(projectRoot(), "nomad/routing/nearest.query.json"), "utf8");
  expect(await nodes[0].consul.request("/v1/query", { method: "POST", body })).toMatchObject({ ok: true });
  const reached = async (from: LocalNode) => (await from.consul.getJson<{ Nodes: { Node: { Node: string } }[] }>("/v1/query/nearest-web/execute")).Nodes.map(({ Node }) => Node.Node);
  // As programs ask: the name, by DNS, of the agent beside them.
  const resolved = async (from: LocalNode) => {
    const script = `const resolver = new (require("dns").promises.Resolver)(); resolver.setServers(["${from.address}:${String(from.consul.dnsPort)}"]); resolver.resolve4("nearest-web.query.consul").then((all) => console.log(all.join(" ")))`;
    return (await network.nodes[from.index]!.exec(process.execPath, "-e", script)).trim().split(" ");
  };
  for (const [from, other] of [[nodes[0], nodes[2]], [nodes[2], nodes[0]]] as const) {
    await eventually(async () => expect(await reached(from)).toEqual([from.name, other.name]));
    await eventually(async () => expect(await resolved(from)).toEqual([from.address, other.address]));
  }
  expect(await nodes[0].consul.request("/v1/agent/check/fail/web", { method: "PUT" })).toMatchObject({ ok: true });
  await eventually(async () => expect([await reached(nodes[0]), await resolved(nodes[0])]).toEqual([["node-3"], [nodes[2].address]]));
  expect(await nodes[0].consul.request("/v1/agent/check/pass/web", { method: "PUT" })).toMatchObject({ ok: true });
  await eventually(async () => expect(await reached(nodes[0])).toEqual(["node-1", "node-3"]));
}, 120_000);

test("a full uplink: the round trip shows the queue", async () => {
  const before = (await own(nodes[2])).latency_ms ?? Number.NaN;
  await third.limitOutgoing(400_000);
  // 1,200-byte datagrams to the neighbour's discard port, half as much again as the limit carries: the 400 ms queue fills.
  const flood = `const s=require("dgram").createSocket("udp4");const b=Buffer.alloc(1200);setInterval(()=>s.send(b,9,"${nodes[0].address}"),16)`;
  const flooding = third.start("flood", process.execPath, "-e", flood);
  try {
    await withinTwoPeriods(nodes[2], ({ latency_ms: ms = 0 }) => expect(ms).toBeGreaterThan(before + 50));
  } finally {
    await (await flooding).stop();
    await third.limitOutgoing(null);
  }
  await withinTwoPeriods(nodes[2], ({ latency_ms: ms }) => expect(ms).toBeLessThan(50));
}, 180_000);

test("a link set down: no latency at all, and all is lost; the partitioned node never looks good", async () => {
  await third.cut();
  try {
    // Nothing of it reaches the others; they say that it is gone, below.
    await withinTwoPeriods(nodes[2], (cutOff) => {
      expect(cutOff).not.toHaveProperty("latency_ms");
      expect(cutOff).not.toHaveProperty("jitter_ms");
      expect(cutOff.packet_loss).toBe(100);
    }, [nodes[2]]);
    // The others reach each other, and Consul, in its own time, says that the third is gone: it is no loss of theirs.
    await eventually(async () => {
      expect((await own(nodes[0])).latency_ms).toBeGreaterThan(0);
      expect((await own(nodes[0])).packet_loss).toBeLessThan(1);
      expect(await listedNode(sidecarOf(nodes[0]), nodes[2].name)).toMatchObject({ alive: false });
    }, WITHIN);
  } finally {
    await third.heal();
  }
  await eventually(async () => {
    expect((await own(nodes[2])).latency_ms).toBeGreaterThan(0);
    expect((await own(nodes[2])).packet_loss).toBeLessThan(100);
  }, WITHIN);
}, 180_000);
