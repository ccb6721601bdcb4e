/** Pins on a real cluster: one rewritten in KV by hand, and what a sidecar's own disk is worth then. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pinKey, serviceMeta } from "../../src/beacon/documents.js";
import { BEACON, open, seal } from "../../src/beacon/envelope.js";
import { formatPin } from "../../src/beacon/pins.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { instances, listedNode, metric, sidecarOf } from "../harness/observe.js";
import { beacon, context, identity } from "../harness/records.js";
import { deregisterByHand, kvText, putByHand, registerByHand } from "../harness/tampering.js";

const STRANGER = identity(90);
const STRANGERS_KEY = Buffer.from(STRANGER.publicKey).toString("hex");
/** Pins are read again with each heartbeat, some 6 s here. */
const SEEN_WITHIN = { timeoutMs: 60_000 };
let cluster: LocalCluster;
let reader: LocalNode;
let other: LocalNode;
let victim: LocalNode;
let honestPin: string;

const KEY = pinKey("dc1", "node-3");
const strict = (...args: string[]): Promise<Finished> => runCli(["cluster", "metrics", "--strict", ...args], cluster.environment());
const trustAt = async (node: LocalNode): Promise<string> => (await listedNode(sidecarOf(node), victim.name)).trust;
const onDisk = (node: LocalNode): string | undefined => {
  const { pins } = JSON.parse(readFileSync(join(sidecarOf(node).stateFolder, "pins.json"), "utf8")) as { pins: { node: string; publicKey: string }[] };
  return pins.find((pin) => pin.node === victim.name)?.publicKey;
};
const honestKey = (): string => (JSON.parse(honestPin) as { publicKey: string }).publicKey;

beforeAll(async () => {
  builtProject();
  cluster = await startTestCluster({ sidecarArgs: () => ["--beat=2s", "--heartbeat-min=6s", "--validity-min=30s"] });
  [reader, other, victim] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  await eventually(async () => {
    for (const node of cluster.nodes) expect(await trustAt(node)).toBe("pinned");
  }, SEEN_WITHIN);
  honestPin = await kvText(reader.consul, KEY);
}, 240_000);
afterAll(() => stopTestCluster(cluster), 60_000);

test("each sidecar keeps the pins that it saw on its own disk", async () => {
  await eventually(() => expect([onDisk(reader), onDisk(other)]).toEqual([honestKey(), honestKey()]), SEEN_WITHIN);
});

describe("rewritten in KV to another key", () => {
  beforeAll(() => putByHand(other.consul, KEY, formatPin({ node: victim.name, datacenter: "dc1", publicKey: STRANGERS_KEY, origin: "cluster" })));

  test("readers that saw the old one show pin-conflict and no beacon, and do not follow", async () => {
    for (const node of [reader, other]) {
      await eventually(async () => expect(await trustAt(node)).toBe("pin-conflict"), SEEN_WITHIN);
      expect(await listedNode(sidecarOf(node), victim.name)).not.toHaveProperty("beacon");
      expect(onDisk(node)).toBe(honestKey());
    }
    // Gauges are set with each beat.
    await eventually(async () => expect(await metric(sidecarOf(reader), "hypercore_ibrl_nodes", { trust: "pin-conflict" })).toBe(1));
  }, 90_000);

  test("--strict exits 3, from the sidecar and straight from Consul", async () => {
    for (const source of [[], ["--consul"]]) {
      const { code, stderr } = await strict(...source);
      expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/warning: node-3: pin-conflict.*--strict: verification failed for node-3\n$/s) });
    }
  });

  test("a sidecar that is restarted holds its own disk's pin against the one in KV", async () => {
    await sidecarOf(reader).restart();
    await eventually(async () => expect(await trustAt(reader)).toBe("pin-conflict"), SEEN_WITHIN);
    expect(onDisk(reader)).toBe(honestKey());
    expect((await listedNode(sidecarOf(reader), other.name)).trust).toBe("pinned"); // the others are as before
  }, 120_000);

  test("the key that the rewritten pin names speaks from the victim's own agent, and is not believed", async () => {
    await sidecarOf(victim).stop();
    const sealed = seal(BEACON, beacon({ node: victim.name, issuedAtMs: Date.now(), epoch: 1_000_000 }), STRANGER);
    const opened = open(BEACON, sealed, context({ nowMs: Date.now(), node: victim.name }));
    if (!opened.ok) throw new Error(opened.detail);
    await registerByHand(victim.consul, { Meta: serviceMeta(opened.verified) });
    for (const node of [reader, other]) {
      await eventually(async () => {
        expect(await metric(sidecarOf(node), "hypercore_ibrl_records_rejected_total", { reason: "pin-conflict", carrier: "meta" })).toBeGreaterThan(0);
        expect(await trustAt(node)).toBe("pin-conflict");
      }, SEEN_WITHIN);
      expect(await listedNode(sidecarOf(node), victim.name)).not.toHaveProperty("beacon");
    }
    await deregisterByHand(victim.consul);
  }, 120_000);
});

test("put back, the node is believed again by the key that it always had", async () => {
  await putByHand(other.consul, KEY, honestPin);
  await sidecarOf(victim).start();
  await sidecarOf(victim).waitReady();
  for (const node of [reader, other]) {
    await eventually(async () => expect(await listedNode(sidecarOf(node), victim.name)).toMatchObject({ trust: "pinned", beacon: {} }), SEEN_WITHIN);
  }
  expect((await instances(reader.consul)).map(({ Node }) => Node.Node).sort()).toEqual(["node-1", "node-2", "node-3"]);
  expect((await strict()).code).toBe(0);
}, 120_000);

test("a sidecar whose own pin is another's at its start says so: an operator must act", async () => {
  await putByHand(other.consul, KEY, formatPin({ node: victim.name, datacenter: "dc1", publicKey: STRANGERS_KEY, origin: "cluster" }));
  await sidecarOf(victim).restart();
  await eventually(() => {
    const line = sidecarOf(victim).logTail(200).split("\n").find((text) => text.includes("another key is pinned for this node"));
    expect(JSON.parse(line ?? "{}")).toMatchObject({ level: "error", key: KEY, pinned: STRANGERS_KEY });
  }, SEEN_WITHIN);
  await putByHand(other.consul, KEY, honestPin);
}, 120_000);
