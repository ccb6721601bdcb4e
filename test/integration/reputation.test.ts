/**
 * Reputation on a real cluster: four sidecars that really probe each other score each other, every reader comes to the
 * same bytes, and a node that signs exchanges which never were is found out by its peers.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { parseStateDocument, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { open, seal, STATE } from "../../src/beacon/envelope.js";
import type { RecordExport } from "../../src/beacon/reputation-document.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { loadOrCreateIdentity } from "../../src/sidecar/state/identity.js";
import { builtProject, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { listed, listedNode, metric, sidecarOf } from "../harness/observe.js";
import { context } from "../harness/records.js";
import { kvText, putByHand } from "../harness/tampering.js";

interface Shown {
  node: string;
  reputation: { score: number; observers: number } | null;
}
interface Recomputed {
  nodes: Shown[];
  sameAsServed: boolean | null;
}

const WITHIN = { timeoutMs: 90_000, everyMs: 1_000 };
const NAMES = ["node-1", "node-2", "node-3", "node-4"];
let cluster: LocalCluster;
let folder: RunFolder;
let reader: LocalNode;
let liar: LocalNode;

beforeAll(async () => {
  builtProject();
  folder = testRunFolder();
  // Ten probes a second and a heartbeat of 5 s: exchanges of both ends meet within seconds.
  cluster = await startTestCluster({ nodes: 4, sidecarArgs: () => ["--beat=1s", "--heartbeat-min=5s", "--validity-min=300s", "--probe-interval=100ms"] });
  [reader, , , liar] = cluster.nodes as [LocalNode, LocalNode, LocalNode, LocalNode];
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  await folder?.remove();
}, 60_000);

const hexOf = ({ publicKey }: { publicKey: Uint8Array }): string => Buffer.from(publicKey).toString("hex");
const cli = (...args: string[]) => runCli(args, cluster.environment());
const scoreShown = async (name: string): Promise<number> => Number((await listedNode(sidecarOf(reader), name)).beacon?.["reputation_score"] || NaN);

test("the four come to probe each other, and the ends of every link agree", async () => {
  await eventually(async () => {
    const { links } = JSON.parse((await cli("cluster", "links", "--json")).stdout) as { links: { a: { node: string }; b: { node: string }; state: string; probedBy: string }[] };
    expect(links.map(({ a, b, state, probedBy }) => `${a.node} ${b.node} ${state} ${probedBy}`)).toEqual(
      NAMES.flatMap((a, i) => NAMES.slice(i + 1).map((b) => `${a} ${b} agreed both`)),
    );
  }, WITHIN);
});

test("who answers its peers and agrees with them has a good score, at every reader", async () => {
  await eventually(async () => {
    for (const node of cluster.nodes) {
      for (const { beacon } of await listed(sidecarOf(node))) {
        expect(Number(beacon?.["reputation_score"] ?? NaN)).toBeGreaterThanOrEqual(0.8);
        expect(beacon).toMatchObject({ reputation_score: expect.stringMatching(/^[01]\.\d\d$/) as string, reputation_observers: 3 });
      }
    }
  }, WITHIN);
  for (const args of [[], ["--consul"]]) {
    await eventually(async () => {
      const { nodes } = JSON.parse((await cli("cluster", "metrics", "--json", "--filter", "reputation>=0.8", ...args)).stdout) as { nodes: Shown[] };
      expect(nodes.map(({ node, reputation }) => [node, reputation?.observers])).toEqual(NAMES.map((name) => [name, 3]));
    }, WITHIN);
  }
  await eventually(async () => {
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_reputation_ratio")).toBeGreaterThanOrEqual(0.8);
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_reputation_observers")).toBe(3);
  }, WITHIN);
});

test("another machine, with the exported records and no cluster, computes the sidecar's bytes", async () => {
  const file = join(folder.path, "records.json");
  expect(await cli("trust", "export", "-o", file)).toMatchObject({ code: 0, stderr: "" });
  const exported = JSON.parse(readFileSync(file, "utf8")) as RecordExport;
  expect(exported.records.map(({ node }) => node)).toEqual(NAMES);
  const { code, stdout } = await runCli(["trust", "recompute", file, "--raw"], { CONSUL_HTTP_ADDR: "127.0.0.1:1", IBRL_GRPC_ADDR: "127.0.0.1:1" });
  expect({ code, sha256: createHash("sha256").update(stdout).digest("hex") }).toEqual({ code: 0, sha256: exported.servedSha256 });
  expect(JSON.parse((await cli("trust", "recompute", "--json")).stdout)).toMatchObject({ sameAsServed: true });
});

test("a node that rotates its key keeps its score: every reader knows it by its first key, and so does another machine", async () => {
  const node = cluster.nodes[1] as LocalNode;
  const first = hexOf(loadOrCreateIdentity(sidecarOf(node).stateFolder));
  expect(await runCli(["identity", "rotate", `--state-dir=${sidecarOf(node).stateFolder}`], {})).toMatchObject({ code: 0 });
  const file = join(folder.path, "rotated.json");
  for (const args of [[], ["--consul"]]) {
    await eventually(async () => {
      expect(await cli("trust", "export", "-o", file, ...args)).toMatchObject({ code: 0 });
      const offline = await runCli(["trust", "recompute", file, "--raw"], { CONSUL_HTTP_ADDR: "127.0.0.1:1", IBRL_GRPC_ADDR: "127.0.0.1:1" });
      const now = hexOf(loadOrCreateIdentity(sidecarOf(node).stateFolder));
      expect(now).not.toBe(first);
      const { nodes } = JSON.parse(offline.stdout) as { nodes: { identity: string; key: string; node: string; scorePpm: number | null }[] };
      expect(nodes.find(({ node: name }) => name === node.name)).toMatchObject({ identity: first, key: now, scorePpm: expect.any(Number) as number });
      if (args.length === 0) expect(offline.code).toBe(0); // the sidecar's own bytes
    }, WITHIN);
  }
  await eventually(async () => expect(await scoreShown(node.name)).toBeGreaterThanOrEqual(0.8), WITHIN);
});

test("a node that signs times which never were is contradicted by all its peers: its score falls, theirs stay", async () => {
  // Its key in other hands: the sidecar no longer writes, and what stands in KV is forged by the test.
  sidecarOf(liar).kill();
  const identity = loadOrCreateIdentity(sidecarOf(liar).stateFolder);
  const key = stateKey(liar.name);
  const at = () => context({ nowMs: Date.now(), node: liar.name });
  const before = open(STATE, parseStateDocument(Buffer.from(await kvText(reader.consul, key)))?.sealed ?? new Uint8Array(), at());
  if (!before.ok) throw new Error(before.detail);
  const { record } = before.verified;
  const links = (record.links ?? []).map((half) => {
    const { outgoing } = half;
    if (outgoing === undefined) return half;
    const chunks = outgoing.chunks.map((chunk) => ({ ...chunk, hash: createHash("sha256").update(chunk.hash).digest("hex").slice(0, 16) }));
    return { ...half, received: half.sent, rtt: half.rtt ?? { minUs: 1, p50Us: 1, p95Us: 1, p99Us: 1 }, outgoing: { ...outgoing, chunks } };
  });
  expect(links).toHaveLength(3);
  const forged = open(STATE, seal(STATE, { ...record, sequence: record.sequence + 1_000_000, issuedAtMs: Date.now(), links }, identity), at());
  if (!forged.ok) throw new Error(forged.detail);
  await putByHand(reader.consul, key, stateDocument(forged.verified));

  await eventually(async () => {
    expect(await listedNode(sidecarOf(reader), liar.name)).toMatchObject({ trust: "pinned", beacon: { reputation_score: "0.00", reputation_observers: 3 } });
    for (const honest of NAMES.slice(0, 3)) expect(await scoreShown(honest)).toBeGreaterThanOrEqual(0.8);
  }, { ...WITHIN, everyMs: 500 });
  const { nodes } = JSON.parse((await cli("trust", "recompute", "--consul", "--json")).stdout) as Recomputed;
  expect(nodes.find(({ node }) => node === liar.name)?.reputation).toMatchObject({ score: 0 });
});
