/**
 * Forged, foreign and replayed records on a real cluster, in each carrier (fault tests 20, 21, 23): never believed,
 * counted by their reason. The fourth agent has no sidecar of its own; what it shows is written by hand.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { serviceMeta, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { BEACON, open, seal, STATE, type Verified } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type Beacon, compareOrder } from "../../src/beacon/record.js";
import type { RejectReason } from "../../src/beacon/rejection.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { type Instance, instances, listed, listedNode, metric, sidecarOf } from "../harness/observe.js";
import { beacon, context, identity, state } from "../harness/records.js";
import { startSidecars } from "../harness/some-sidecars.js";
import { deleteByHand, deregisterByHand, eventPayloads, fireByHand, flipped, kvText, putByHand, registerByHand } from "../harness/tampering.js";

const WITHIN = { timeoutMs: 30_000 };
let cluster: LocalCluster;
let folder: RunFolder;
let reader: LocalNode;
let victim: LocalNode;
let bare: LocalNode;

beforeAll(async () => {
  builtProject();
  folder = testRunFolder();
  cluster = await startTestCluster({ nodes: 4, servers: 3, sidecars: false });
  [reader, victim, , bare] = cluster.nodes as [LocalNode, LocalNode, LocalNode, LocalNode];
  // No heartbeat meanwhile: what a test puts back must still be the newest that the node wrote.
  await startSidecars(cluster, [0, 1, 2], folder, ["--heartbeat-min=20m"]);
  await eventually(whole, { timeoutMs: 60_000 });
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  await folder?.remove();
}, 60_000);

/** Every sidecar believes the three, with their states, and expects nothing of the fourth. */
async function whole(): Promise<void> {
  for (const node of cluster.nodes.slice(0, 3)) {
    const states = await listed(sidecarOf(node));
    expect(states.map(({ node: { name }, trust, sealed_state }) => [name, trust, sealed_state !== undefined])).toEqual([
      ["node-1", "pinned", true],
      ["node-2", "pinned", true],
      ["node-3", "pinned", true],
      ["node-4", "no-sidecar", false],
    ]);
  }
}

const rejections = async (reason: RejectReason, carrier: string): Promise<number> =>
  (await metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason, carrier })) ?? NaN;

/** `act` raises the reader's counter of exactly this reason in this carrier; it may be repeated. */
async function counted(reason: RejectReason, carrier: string, act: () => Promise<unknown>): Promise<void> {
  const before = await rejections(reason, carrier);
  let actedAtMs = Number.NEGATIVE_INFINITY;
  await eventually(async () => {
    // The node itself may write over it before anybody read it: then once more.
    if (performance.now() - actedAtMs > 3_000) {
      await act();
      actedAtMs = performance.now();
    }
    await listed(sidecarOf(reader)); // states are read when somebody asks
    expect(await rejections(reason, carrier)).toBeGreaterThan(before);
  }, WITHIN);
}

async function instanceOf(name: string): Promise<Instance["Service"]> {
  const found = (await instances(reader.consul)).find(({ Node }) => Node.Node === name);
  if (found === undefined) throw new Error(`${name} has no instance`);
  return found.Service;
}

const now = (node: string) => context({ nowMs: Date.now(), node });
const strict = (...args: string[]): Promise<Finished> => runCli(["cluster", "metrics", "--strict", ...args], cluster.environment());

/** The victim's beacon in each event that the reader's agent holds, oldest first. */
async function victimsBeacons(): Promise<Verified<Beacon>[]> {
  const keys = new KeyAdmission();
  return (await eventPayloads(reader.consul)).flatMap((payload) => {
    const opened = open(BEACON, payload, { ...now(victim.name), keys });
    return opened.ok ? [opened.verified] : [];
  });
}

/** Well sealed, by a key that is nobody's here. */
const strangersBeacon = (seed: number): Uint8Array =>
  seal(BEACON, beacon({ node: victim.name, issuedAtMs: Date.now(), epoch: 1_000_000 }), identity(seed));

describe("a service `ibrl-beacon` registered by hand at another node", () => {
  afterEach(async () => {
    await deregisterByHand(bare.consul);
    await eventually(whole, WITHIN);
  });

  async function neverBelieved(reason: RejectReason): Promise<void> {
    for (const node of cluster.nodes.slice(0, 3)) {
      await eventually(async () => expect(await listedNode(sidecarOf(node), bare.name)).toMatchObject({ trust: "unverified" }), WITHIN);
      expect(await listedNode(sidecarOf(node), bare.name)).not.toHaveProperty("beacon");
      expect(await listedNode(sidecarOf(node), victim.name)).toMatchObject({ trust: "pinned", beacon: {} });
    }
    for (const source of [[], ["--consul"]]) {
      const { code, stdout, stderr } = await strict(...source);
      expect({ code, said: stderr.trimEnd().split("\n").at(-1) }).toEqual({ code: 3, said: "--strict: verification failed for node-4" });
      expect(stdout.match(/Beacon: Not available/g)).toHaveLength(1);
      expect((await strict("--node=node-1", "--node=node-2", "--node=node-3", ...source)).code).toBe(0);
    }
    expect((await strict("--consul")).stderr).toContain(`warning: node-4: unverified: ${reason}: `);
  }

  test("with a copy of another node's beacon: wrong-node", async () => {
    const stolen = await instanceOf(victim.name);
    await counted("wrong-node", "meta", () => registerByHand(bare.consul, { Meta: stolen.Meta, Tags: stolen.Tags }));
    await neverBelieved("wrong-node");
  }, 120_000);

  test.each([
    ["of its signature", -1, "bad-signature"],
    ["of its framing", 0, "malformed-envelope"],
  ] as const)("with one bit %s changed: %s %s", async (_, at, reason) => {
    const { Meta } = await instanceOf(victim.name);
    const sealed = flipped(Buffer.from(Meta["ibrl-beacon"] ?? "", "base64"), at);
    await counted(reason, "meta", () => registerByHand(bare.consul, { Meta: { ...Meta, "ibrl-beacon": Buffer.from(sealed).toString("base64") } }));
    await neverBelieved(reason);
  }, 120_000);

  test("with no beacon at all: an empty envelope has no purpose", async () => {
    await counted("wrong-purpose", "meta", () => registerByHand(bare.consul, { Meta: { team: "blue" } }));
    await neverBelieved("wrong-purpose");
  }, 120_000);
});

describe("the victim's own service, changed by somebody at its agent", () => {
  let honest: Instance["Service"];
  beforeEach(async () => (honest = await instanceOf(victim.name)));
  afterEach(async () => {
    await registerByHand(victim.consul, honest);
    await eventually(whole, WITHIN);
  });

  test("a better price beside the sealed one is tampering: a reader without history refuses, the others keep what they hold", async () => {
    const price = (await listedNode(sidecarOf(reader), victim.name)).beacon?.["price_per_gb"];
    const forge = () => registerByHand(victim.consul, { ...honest, Meta: { ...honest.Meta, "ibrl-price-microusd": "1" } });
    await counted("readable-mismatch", "meta", forge);
    expect(await listedNode(sidecarOf(reader), victim.name)).toMatchObject({ trust: "pinned", beacon: { price_per_gb: price } });
    // The victim may have written over it before the command reads.
    await eventually(async () => {
      await forge();
      const { code, stdout, stderr } = await strict("--consul");
      expect(code).toBe(3);
      expect(stderr).toMatch(/warning: node-2: unverified: readable-mismatch: meta ibrl-price-microusd is 1; the sealed record says 10000/);
      expect(stdout).not.toContain("$0.0000");
    }, WITHIN);
  }, 60_000);

  test("an older beacon of its own, which is verified and superseded", async () => {
    // Older than what stands in meta, and never there before: events bring a new one at every beat.
    await eventually(async () => expect((await victimsBeacons()).length).toBeGreaterThan(2), { timeoutMs: 60_000 });
    const held = await instanceOf(victim.name);
    const old = (await victimsBeacons()).find(({ sealed }) => Buffer.from(sealed).toString("base64") !== held.Meta["ibrl-beacon"]);
    if (old === undefined) throw new Error("the events hold no other beacon");
    const before = await newest();
    await counted("superseded", "meta", () => registerByHand(victim.consul, { ...honest, Meta: serviceMeta(old) }));
    expect(await newest()).toBeGreaterThanOrEqual(before);
    expect((await strict()).code).toBe(0); // an older copy at a slower carrier is no offence
  }, 120_000);

  test("the very bytes that stood there before, once others have: a replay is counted though it was believed in its time", async () => {
    const stood = open(BEACON, Buffer.from(honest.Meta["ibrl-beacon"] ?? "", "base64"), { ...now(victim.name), keys: new KeyAdmission() });
    if (!stood.ok) throw new Error(stood.detail);
    // The node may have written its meta after its last event.
    const current = await eventually(async () => {
      const newest = (await victimsBeacons()).at(-1);
      if (newest === undefined || compareOrder(newest.record, stood.verified.record) <= 0) throw new Error("no event is newer");
      return newest;
    }, WITHIN);
    // A reader that was not quick enough to see the newer one stand there has seen no replay: then both once more.
    await counted("superseded", "meta", async () => {
      await registerByHand(victim.consul, { ...honest, Meta: serviceMeta(current) });
      await eventually(async () => expect((await instanceOf(victim.name)).Meta).toEqual(serviceMeta(current)), WITHIN);
      await sleep(1_500); // readers read once a second at most
      await registerByHand(victim.consul, honest);
    });
    expect(await listedNode(sidecarOf(reader), victim.name)).toMatchObject({ trust: "pinned" });
  }, 60_000);

  async function newest(): Promise<number> {
    const { sealed_beacon: sealed = "" } = await listedNode(sidecarOf(reader), victim.name);
    const opened = open(BEACON, Buffer.from(sealed, "base64"), now(victim.name));
    if (!opened.ok) throw new Error(opened.detail);
    return opened.verified.record.sequence;
  }
});

describe("a user event fired by hand", () => {
  test("with the bytes of an earlier one: superseded, and the newer record stays", async () => {
    const [old] = await victimsBeacons();
    if (old === undefined) throw new Error("the agent holds no event of the victim");
    await counted("superseded", "event", () => fireByHand(bare.consul, old.sealed));
    const { sealed_beacon } = await listedNode(sidecarOf(reader), victim.name);
    expect(sealed_beacon).not.toBe(Buffer.from(old.sealed).toString("base64"));
  }, 60_000);

  test("by another key in the victim's name: pin-conflict, and the pinned key stays", async () => {
    const { beacon: honest } = await listedNode(sidecarOf(reader), victim.name);
    await counted("pin-conflict", "event", () => fireByHand(bare.consul, strangersBeacon(77)));
    const after = await listedNode(sidecarOf(reader), victim.name);
    expect(after).toMatchObject({ trust: "pinned", beacon: { beacon_node_id: honest?.["beacon_node_id"] } });
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_nodes", { trust: "pinned" })).toBe(3);
  }, 60_000);

  test.each<[string, RejectReason, () => Uint8Array | Promise<Uint8Array>]>([
    ["foreign bytes", "malformed-envelope", () => Buffer.from("an event of somebody else")],
    ["one bit of a signature changed", "bad-signature", async () => flipped((await victimsBeacons()).at(-1)?.sealed ?? new Uint8Array(), -1)],
    ["more than a beacon has", "oversized", () => Buffer.alloc(360, 0x0a)],
    ["a sealed state", "wrong-purpose", () => seal(STATE, state({ node: "node-2", issuedAtMs: Date.now() }), identity(78))],
    ["another datacenter's beacon", "wrong-node", () => seal(BEACON, beacon({ datacenter: "dc2", issuedAtMs: Date.now() }), identity(79))],
    ["one from the future", "issued-in-future", () => seal(BEACON, beacon({ issuedAtMs: Date.now() + 3_600_000 }), identity(80))],
    ["one over its validity", "expired", () => seal(BEACON, beacon({ issuedAtMs: Date.now() - 3_600_000 }), identity(81))],
  ])("with %s: %s", async (_, reason, payload) => {
    const bytes = await payload();
    await counted(reason, "event", () => fireByHand(bare.consul, bytes));
    await whole();
  }, 60_000);

  test("nobody that is not a node is listed for it", async () => {
    let made = 0;
    const invented = () => seal(BEACON, beacon({ node: `no-such-node-${String((made += 1))}`, issuedAtMs: Date.now() }), identity(82));
    await counted("unknown-node", "event", () => fireByHand(bare.consul, invented()));
    // Nor is its key kept, in memory or on disk.
    const pins = readFileSync(join(sidecarOf(reader).stateFolder, "pins.json"), "utf8");
    expect([pins.includes("no-such-node"), pins.includes("node-3")]).toEqual([false, true]);
    expect((await listed(sidecarOf(reader))).map(({ node }) => node.name)).toEqual(["node-1", "node-2", "node-3", "node-4"]);
  }, 60_000);
});

describe("a state in KV", () => {
  /** The node's newest word: it may write while its place is taken. */
  let honest: string;
  let forged: string;
  beforeEach(async () => {
    honest = await kvText(reader.consul, stateKey(victim.name));
    forged = "";
  });
  afterEach(async () => {
    await deleteByHand(reader.consul, stateKey(bare.name));
    if ((await kvText(reader.consul, stateKey(victim.name))) === forged) await putByHand(reader.consul, stateKey(victim.name), honest);
    await eventually(whole, WITHIN);
  });

  async function overwrite(by: string | Uint8Array): Promise<void> {
    const stands = await kvText(reader.consul, stateKey(victim.name));
    const text = Buffer.from(by).toString();
    if (stands === text) return;
    if (stands !== forged) honest = stands;
    forged = text;
    await putByHand(bare.consul, stateKey(victim.name), by);
  }
  /** Stands at the node's path until `seen` holds: the node itself may write over it at any time, and is written over again. */
  const standing = (by: string | Uint8Array, seen: () => Promise<void>): Promise<void> =>
    eventually(async () => {
      await overwrite(by);
      await seen();
    }, WITHIN);
  /** The beacon is another record, and stands; of the state nothing is shown. */
  async function withoutState(): Promise<void> {
    const shown = await listedNode(sidecarOf(reader), victim.name);
    expect(shown).toMatchObject({ trust: "pinned", beacon: {} });
    expect(shown).not.toHaveProperty("sealed_state");
  }

  test.each<[string, RejectReason, (document: string) => string]>([
    ["its readable copy edited", "readable-mismatch", (text) => text.replace(/"address": "[^"]*"/, '"address": "203.0.113.9"')],
    ["a workload added to its readable copy", "readable-mismatch", (text) => text.replace('"workloads": null', '"workloads": []')],
    ["a bit of its signature changed", "bad-signature", (text) => {
      const document = JSON.parse(text) as { sealed: string };
      return JSON.stringify({ ...document, sealed: Buffer.from(flipped(Buffer.from(document.sealed, "base64"), -1)).toString("base64") });
    }],
    ["other JSON in its place", "malformed-envelope", () => '{"v":1}'],
    ["no JSON in its place", "malformed-envelope", () => "\u0000 nothing"],
  ])("with %s: %s", async (_, reason, change) => {
    const changed = change(honest);
    expect(changed).not.toBe(honest);
    await counted(reason, "kv", () => overwrite(changed));
    await standing(changed, withoutState);
    expect((await listedNode(sidecarOf(reader), "node-3")).sealed_state).toBeDefined();
    await standing(changed, async () => {
      const { code, stdout } = await runCli(["cluster", "list", "--consul", "--json"], cluster.environment());
      expect({ code, node: (JSON.parse(stdout) as { nodes: object[] }).nodes[1] }).toMatchObject({ code: 0, node: { workloads: null, detail: expect.stringContaining(reason) } });
    });
  }, 60_000);

  test("under another node's path: wrong-node, and that node gains nothing", async () => {
    await counted("wrong-node", "kv", () => putByHand(bare.consul, stateKey(bare.name), honest));
    const shown = await listedNode(sidecarOf(reader), bare.name);
    expect(shown).toMatchObject({ trust: "no-sidecar" });
    expect(shown).not.toHaveProperty("sealed_state");
  }, 60_000);

  test("sealed by another key at the victim's path is not shown beside the victim's beacon", async () => {
    const opened = open(STATE, seal(STATE, state({ node: victim.name, issuedAtMs: Date.now(), epoch: 1_000_000 }), identity(83)), now(victim.name));
    if (!opened.ok) throw new Error(opened.detail);
    await standing(stateDocument(opened.verified), withoutState);
  }, 60_000);

  test("a foreign value of 512 KiB, in a node's place and beside: skipped, the others are read, and the node itself starts over it", async () => {
    const foreign = Buffer.alloc(512 * 1024, 0x78);
    await putByHand(bare.consul, "ibrl/v1/nodes/dump", foreign);
    await counted("malformed-envelope", "kv", () => overwrite(foreign));
    await standing(foreign, withoutState);
    for (const name of ["node-1", "node-3"]) expect((await listedNode(sidecarOf(reader), name)).sealed_state).toBeDefined();
    expect((await strict("--consul", "--node=node-1", "--node=node-3")).code).toBe(0);

    await sidecarOf(victim).restart();
    await putByHand(bare.consul, "ibrl/v1/nodes/dump", ""); // small again: only the room counts
    await eventually(whole, { timeoutMs: 60_000 });
    honest = await kvText(reader.consul, stateKey(victim.name));
  }, 180_000);

  test("replayed from before: superseded, and never shown in the place of the newer one", async () => {
    const old = honest;
    await sidecarOf(victim).restart(); // a new epoch, written at once
    await eventually(async () => {
      const current = await kvText(reader.consul, stateKey(victim.name));
      expect(current).not.toBe(old);
      const { sealed } = JSON.parse(current) as { sealed: string };
      expect((await listedNode(sidecarOf(reader), victim.name)).sealed_state).toBe(sealed);
    }, { timeoutMs: 60_000 });
    honest = await kvText(reader.consul, stateKey(victim.name));
    await counted("superseded", "kv", () => overwrite(old));
    await standing(old, withoutState);
  }, 180_000);
});
