/** A live node changes its key on a real cluster: every peer follows, without a moment in which it is not believed. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pinKey, rotationsPrefix } from "../../src/beacon/documents.js";
import { BEACON, open, seal } from "../../src/beacon/envelope.js";
import { rotationDocument } from "../../src/beacon/rotation.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { readIdentity } from "../../src/sidecar/state/identity.js";
import { prepareNextKey } from "../../src/sidecar/state/rotation-files.js";
import { builtProject, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listedNode, metric, sidecarOf } from "../harness/observe.js";
import { beacon, context, identity } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";
import { fireByHand, kvText, putByHand } from "../harness/tampering.js";

const WITHIN = { timeoutMs: 60_000 };
let cluster: LocalCluster;
let reader: LocalNode;
let other: LocalNode;
let node: LocalNode;

interface Shown {
  publicKey: string;
  beaconId: string;
  epoch: number;
  pins: { node: string; formerKeys: string[] }[];
  prepared: { beaconId: string } | null;
}

const folder = (): string => sidecarOf(node).stateFolder;
async function identityOf(command: "show" | "export" | "rotate"): Promise<Shown> {
  const { code, stdout, stderr } = await runCli(["identity", command, "--json", `--state-dir=${folder()}`], {});
  if (code !== 0) throw new Error(`${stdout}${stderr}`);
  return JSON.parse(stdout) as Shown;
}
const keyAt = async (at: LocalNode): Promise<{ trust: string; key: string | undefined }> => {
  const { trust, sealed_beacon: sealed = "" } = await listedNode(sidecarOf(at), node.name);
  const opened = open(BEACON, Buffer.from(sealed, "base64"), context({ nowMs: Date.now(), node: node.name }));
  return { trust, key: opened.ok ? opened.verified.key.hex : undefined };
};
const onDisk = (at: LocalNode) => {
  const { pins } = JSON.parse(readFileSync(join(sidecarOf(at).stateFolder, "pins.json"), "utf8")) as { pins: { node: string; publicKey: string; formerKeys?: string[] }[] };
  return pins.find((pin) => pin.node === node.name);
};

beforeAll(async () => {
  builtProject();
  cluster = await startTestCluster({ sidecarArgs: () => ["--beat=1s", "--heartbeat-min=6s", "--validity-min=30s"] });
  [reader, other, node] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  await eventually(async () => {
    for (const at of cluster.nodes) expect(await keyAt(at)).toMatchObject({ trust: "pinned" });
  }, WITHIN);
}, 240_000);
afterAll(() => stopTestCluster(cluster), 60_000);

test("identity show and export tell the public key that peers see, and nothing private", async () => {
  const { key } = await keyAt(reader);
  const shown = await identityOf("show");
  expect(shown).toMatchObject({ publicKey: key, beaconId: key?.slice(0, 16), pins: [{ node: "node-3" }], prepared: null });
  expect(shown.epoch).toBeGreaterThan(0);
  const exported = await identityOf("export");
  expect(exported.publicKey).toBe(key);
  const pem = (await runCli(["identity", "export", `--state-dir=${folder()}`], {})).stdout;
  expect(pem).toMatch(/^-----BEGIN PUBLIC KEY-----\n.*\n-----END PUBLIC KEY-----\n$/);
  expect(JSON.stringify([shown, exported])).not.toContain("PRIVATE");
  const nowhere = await runCli(["identity", "show", "--json", `--state-dir=${join(folder(), "no-such")}`], {});
  expect({ code: nowhere.code, error: JSON.parse(nowhere.stdout) as object }).toMatchObject({ code: 1, error: { error: { code: "no-identity" } } });
}, 60_000);

test("a live node rotates: every peer follows without a gap, in memory and on its disk", async () => {
  const old = await identityOf("show");
  const oldKey = readIdentity(folder());
  const next = await identityOf("rotate");
  expect(next.publicKey).not.toBe(old.publicKey);
  for (const at of [reader, other, node]) {
    await eventually(async () => {
      const { trust, key } = await keyAt(at);
      if (trust !== "pinned" || key === undefined) throw new GapError(`${at.name} shows ${trust}`);
      expect(key).toBe(next.publicKey);
    }, { ...WITHIN, everyMs: 50 });
    await eventually(() => expect(onDisk(at)).toMatchObject({ publicKey: next.publicKey, formerKeys: [old.publicKey] }), WITHIN);
    await eventually(async () => expect(await listedNode(sidecarOf(at), node.name)).toHaveProperty("sealed_state"), WITHIN);
  }
  expect(gaps).toEqual([]);
  expect(await metric(sidecarOf(reader), "hypercore_ibrl_rotations_followed_total")).toBe(1);
  await eventually(async () => expect(await kvText(reader.consul, pinKey("dc1", node.name))).toContain(next.publicKey), WITHIN);
  expect(existsSync(join(folder(), "identity.next.pem"))).toBe(false);
  const after = await identityOf("show");
  expect(after).toMatchObject({ publicKey: next.publicKey, prepared: null, pins: [{ node: "node-3", formerKeys: [old.publicKey] }] });
  expect(after.epoch).toBeGreaterThan(old.epoch);
  const { code } = await runCli(["cluster", "metrics", "--strict", "--consul"], cluster.environment());
  expect(code).toBe(0);

  // A thief with the old key: newer than anything, well signed, and refused.
  if (oldKey === null) throw new Error("no key");
  const stolen = seal(BEACON, beacon({ node: node.name, issuedAtMs: Date.now(), epoch: after.epoch + 1_000 }), oldKey);
  await fireByHand(other.consul, stolen);
  await eventually(async () => expect(await metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason: "superseded-key" })).toBeGreaterThan(0), WITHIN);
  expect(await keyAt(reader)).toEqual({ trust: "pinned", key: next.publicKey });
}, 240_000);

test("a reader that was away follows the whole chain when it is back; a rotated node starts again as what it is", async () => {
  await sidecarOf(other).stop();
  const chain = [(await identityOf("show")).publicKey];
  for (let i = 0; i < 2; i += 1) {
    const { publicKey } = await identityOf("rotate");
    chain.push(publicKey);
    await eventually(async () => expect(await keyAt(reader)).toEqual({ trust: "pinned", key: publicKey }), WITHIN);
  }
  prepareNextKey(folder()); // taken up at the next start
  await sidecarOf(node).restart();
  await eventually(async () => expect((await identityOf("show")).publicKey).not.toBe(chain.at(-1)), WITHIN);
  const { publicKey } = await identityOf("show");
  await sidecarOf(other).start();
  await sidecarOf(other).waitReady();
  for (const at of [reader, other]) await eventually(async () => expect(await keyAt(at)).toEqual({ trust: "pinned", key: publicKey }), WITHIN);
  await eventually(() => expect(onDisk(other)?.formerKeys).toEqual([expect.any(String), ...chain]), WITHIN);
}, 240_000);

test("what is put under the node's rotations by others moves nothing", async () => {
  const before = await keyAt(reader);
  const forged = rotation(61, 62, 1_000_000, node.name);
  await putByHand(other.consul, `${rotationsPrefix("dc1")}${node.name}/1-forged`, JSON.stringify(rotationDocument(forged)));
  await putByHand(other.consul, `${rotationsPrefix("dc1")}${node.name}/2-forged`, "{}");
  await fireByHand(other.consul, seal(BEACON, beacon({ node: node.name, issuedAtMs: Date.now(), epoch: 1_000_000 }), identity(62)));
  await eventually(async () => expect(await metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason: "pin-conflict", carrier: "event" })).toBeGreaterThan(0), WITHIN);
  expect(await keyAt(reader)).toEqual(before);
}, 120_000);

/** Kept, since `eventually` goes on after it. */
const gaps: string[] = [];
class GapError extends Error {
  constructor(message: string) {
    super(message);
    gaps.push(message);
  }
}
