/** Fault test 5, in network namespaces: a node cut off and healed. Its peers believe its last record to its age, not longer. */
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { listedNode, metric, sidecarOf } from "../harness/observe.js";

const VALIDITY_MS = 30_000;
let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;

beforeAll(async () => {
  const why = await whyNoNamespaces();
  if (why !== null) throw new Error(why);
  folder = testRunFolder();
  network = await NamespaceNetwork.create(3, folder);
  cluster = await startTestCluster({
    placement: (index) => network.nodes[index]!.placement,
    sidecarArgs: () => ["--beat=2s", "--heartbeat-min=10s", `--validity-min=${String(VALIDITY_MS)}ms`, "--insecure-bind"],
  });
}, 180_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  await network?.remove();
}, 60_000);

test("5: cut off, it expires at its maximum age and not before; healed, a new record counts, and no old one", async () => {
  const [watching, , cutOff] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  const namespace = network.nodes[2]!;
  const look = () => listedNode(sidecarOf(watching), cutOff.name);
  await eventually(async () => expect(await look()).toMatchObject({ trust: "pinned", beacon: {} }), { timeoutMs: 60_000 });

  await namespace.cut();
  const cutAtMs = Date.now();
  await eventually(async () => expect(await look()).toMatchObject({ alive: false }), { timeoutMs: 30_000 });
  expect(await look()).toMatchObject({ trust: "pinned" });
  await eventually(async () => expect((await look()).trust).toBe("expired"), { timeoutMs: VALIDITY_MS + 10_000 });
  // The last record that got through was sealed at most a beat before the cut.
  expect(Date.now() - cutAtMs).toBeGreaterThan(VALIDITY_MS - 2_000 - 2_000);
  expect(await look()).not.toHaveProperty("beacon");

  const superseded = await metric(sidecarOf(watching), "hypercore_ibrl_records_accepted_total", {});
  await namespace.heal();
  await eventually(async () => expect(await look()).toMatchObject({ trust: "pinned", alive: true, beacon: {} }), { timeoutMs: 60_000 });
  const { beacon } = await look();
  expect(Number(beacon?.["timestamp"]) * 1_000).toBeGreaterThan(cutAtMs);
  expect(await metric(sidecarOf(watching), "hypercore_ibrl_records_accepted_total", {})).toBeGreaterThan(superseded ?? Number.NaN);
}, 240_000);
