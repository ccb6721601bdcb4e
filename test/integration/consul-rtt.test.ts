/** Our estimate is the figure that `consul rtt` prints, on agents with production timings. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { LocalCluster } from "../../src/dev/local-cluster.js";
import { waitFor } from "../../src/dev/readiness.js";
import { connectConsul } from "../../src/sidecar/consul/connect.js";
import { consulSettingsFrom } from "../../src/sidecar/consul/settings.js";
import type { NodeCoordinate } from "../../src/sidecar/consul-api.js";
import { estimateRttUs } from "../../src/sidecar/readings/coordinates.js";
import { readLatencyEstimate } from "../../src/sidecar/readings/latency.js";
import { startTestCluster, stopTestCluster } from "../harness/cluster.js";

const START_MS = 600_000; // the programs may have to be built first
const COORDINATES_MS = 150_000; // seen after 50 s on a quiet machine

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startTestCluster({ nodes: 2, sidecars: false });
}, START_MS);
afterAll(() => stopTestCluster(cluster), 60_000);

test("the estimate between two nodes waits for their coordinates, and then is what `consul rtt` says", async () => {
  const env = { ...process.env, ...cluster.environment() };
  const consul = connectConsul(consulSettingsFrom(cluster.environment()));
  const [own, peer] = cluster.nodes.map(({ name }) => name) as [string, string];
  try {
    const reasons = new Set<string>();
    const seen = await waitFor("coordinates of both", async () => {
      const estimate = await readLatencyEstimate(consul, own);
      if (estimate.value === undefined) reasons.add(estimate.reason);
      return estimate.value;
    }, { timeoutMs: COORDINATES_MS, everyMs: 1_000 });
    expect(seen.peers).toBe(1);
    expect([...reasons].filter((reason) => !/^(own|no-peer)-coordinate/.test(reason))).toEqual([]);

    // Coordinates move every few seconds: the figure counts where they were the same before and after the command.
    const printed = await waitFor("coordinates at rest", async () => {
      const before = (await consul.coordinates()).value;
      const { stdout } = await promisify(execFile)(cluster.consulBinary.path, ["rtt", own, peer], { env });
      const after = (await consul.coordinates()).value;
      return JSON.stringify(before) === JSON.stringify(after) ? { stdout, coordinates: before } : undefined;
    }, { timeoutMs: COORDINATES_MS });
    const rttUs = estimateRttUs(find(printed.coordinates, own), find(printed.coordinates, peer));
    expect(printed.stdout).toContain(`rtt: ${((rttUs ?? Number.NaN) / 1000).toFixed(3)} ms`);
  } finally {
    consul.close();
  }
}, 2 * COORDINATES_MS);

function find(coordinates: readonly NodeCoordinate[], node: string): NodeCoordinate {
  const found = coordinates.find((c) => c.node === node);
  if (found === undefined) throw new Error(`${node} has no coordinate`);
  return found;
}
