/** `--probe-key-file` on real sidecars: who has the secret measures, and is measured; who has another is counted and gets no answer. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { builtProject } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listedNode, metric, sidecarOf } from "../harness/observe.js";

const WITHIN = { timeoutMs: 60_000 };
let folder: string;
let cluster: LocalCluster;
let nodes: [LocalNode, LocalNode, LocalNode];

beforeAll(async () => {
  builtProject();
  folder = mkdtempSync(join(tmpdir(), "ibrl-shared-key-"));
  const secretOf = (index: number): string => {
    const path = join(folder, `node-${String(index + 1)}.key`);
    writeFileSync(path, index === 2 ? "another secret, of thirty-two bytes or so\n" : `hex:${"5a".repeat(32)}\n`, { mode: 0o600 });
    return path;
  };
  cluster = await startTestCluster({ sidecarArgs: (index) => ["--beat=1s", "--heartbeat-min=3s", "--probe-interval=100ms", "--probe-window=6s", `--probe-key-file=${secretOf(index)}`] });
  nodes = cluster.nodes as typeof nodes;
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const answering = (node: LocalNode) => metric(sidecarOf(node), "hypercore_ibrl_probe_peers_answering");

test("the two that share the secret measure each other; the third, with another, is answered by nobody, and both sides count it", async () => {
  const [first, second, third] = nodes;
  await eventually(async () => {
    expect(await Promise.all(nodes.map(answering))).toEqual([1, 1, 0]);
    for (const node of [first, second]) {
      const { beacon } = await listedNode(sidecarOf(node), node.name);
      expect(beacon?.["latency_ms"]).toBeGreaterThan(0);
      expect(await metric(sidecarOf(node), "hypercore_ibrl_reflector_dropped_total", { reason: "bad-hmac" })).toBeGreaterThan(0);
    }
    const alone = (await listedNode(sidecarOf(third), third.name)).beacon;
    expect(alone).toMatchObject({ packet_loss: 100 });
    expect(await metric(sidecarOf(third), "hypercore_ibrl_reflector_dropped_total", { reason: "bad-hmac" })).toBeGreaterThan(0);
  }, WITHIN);
}, 90_000);
