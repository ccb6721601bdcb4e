/** A sidecar whose Consul agent is not there: alone it serves itself, and joins when the agent comes. And the beacon endpoint, beside it. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { findBinary } from "../../src/dev/binaries.js";
import { ConsulAgent } from "../../src/dev/consul-agent.js";
import type { NodeHost } from "../../src/dev/managed-service.js";
import { defaultAddressing, type NodeEndpoints, type PortSet, reservePorts } from "../../src/dev/ports.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { SidecarProcess } from "../../src/dev/sidecar-process.js";
import { withoutClusterVariables } from "../../src/dev/local-cluster.js";
import { listNodes } from "../../src/sidecar/api/client.js";
import { eventually, quiet, TEST_FIRST_SHIFT, testRunFolder } from "../harness/cluster.js";
import { instances, listed, metric } from "../harness/observe.js";

const START_MS = 900_000; // Consul may have to be built first
let folder: RunFolder;
let ports: PortSet;
let host: NodeHost;
let binary: string;
let made = 0;

beforeAll(async () => {
  binary = (await findBinary("consul", { env: process.env, progress: quiet })).path;
  ports = await reservePorts(4, defaultAddressing(), TEST_FIRST_SHIFT);
  folder = testRunFolder();
  host = { run: folder, env: withoutClusterVariables(process.env) };
}, START_MS);
afterAll(async () => {
  await folder?.remove();
  ports?.release();
}, 60_000);

/** A new node at place `index` of the reserved ones; nothing listens at its Consul address but what a test starts there. */
function sidecarAt(index: number, ...args: string[]): SidecarProcess {
  const { address, ports: at } = endpoint(index);
  return new SidecarProcess({
    nodeName: `alone-${String(index)}`,
    address,
    ports: at,
    consulAddr: `${address}:${String(at.consulHttp)}`,
    nomadAddr: `${address}:${String(at.nomadHttp)}`,
    folder: join(folder.path, `sidecar-${String((made += 1))}`),
    host,
    args: [`--node-name=alone-${String(index)}`, ...args],
  });
}

function agentAt(index: number): ConsulAgent {
  return new ConsulAgent({
    ...endpoint(index),
    nodeName: "late-agent",
    bootstrapExpect: 1,
    retryJoin: [],
    gossipKey: randomBytes(32).toString("base64"),
    datacenter: "dc1",
    ui: false,
    binary,
    folder: join(folder.path, `consul-${String(index)}`),
    host,
  });
}

function endpoint(index: number): NodeEndpoints {
  const found = ports.endpoints[index];
  if (found === undefined) throw new RangeError(`no place ${String(index)} was reserved`);
  return found;
}

interface LogLine {
  level: string;
  msg: string;
  dependency?: string;
}
const logOf = (sidecar: SidecarProcess): LogLine[] =>
  readFileSync(sidecar.logFile, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as LogLine);
const said = (sidecar: SidecarProcess, text: string): number => logOf(sidecar).filter(({ msg }) => msg.includes(text)).length;
const ALONE = "serving this node alone";

describe("without Consul", () => {
  let sidecar: SidecarProcess;

  beforeAll(async () => {
    sidecar = sidecarAt(0, "--beat=1s");
    await sidecar.start();
    await sidecar.waitReady();
  }, 120_000);

  test("it is ready, and says that it is alone", async () => {
    expect(await sidecar.getJson("/readyz")).toEqual({ ready: true, consul: "unreachable", standalone: true });
    expect(await sidecar.getJson("/healthz")).toEqual({ status: "alive" });
  });

  test("it serves its own signed state over HTTP and gRPC; what only Consul can tell is absent, not 0", async () => {
    const states = await listed(sidecar);
    expect(states).toMatchObject([{ node: { name: "alone-0", datacenter: "standalone" }, trust: "first-use", alive: true }]);
    expect(states[0]?.beacon).toMatchObject({ price_per_gb: 0.01 });
    for (const unknown of ["latency_ms", "jitter_ms", "packet_loss", "queue_depth"]) expect(states[0]?.beacon).not.toHaveProperty(unknown);
    // Our own client verifies what it gets: a view with a beacon is a view that opened.
    const views = await listNodes({ address: sidecar.grpcAddr, keys: new KeyAdmission() });
    expect(views.map(({ name, beacon, state }) => [name, beacon?.beaconId, state?.beaconId])).toEqual([
      ["alone-0", states[0]?.beacon?.["beacon_node_id"], states[0]?.beacon?.["beacon_node_id"]],
    ]);
  });

  test("its metrics tell the absence, and have no sample for what is unknown", async () => {
    expect(await metric(sidecar, "hypercore_ibrl_consul_up")).toBe(0);
    expect(await metric(sidecar, "hypercore_ibrl_epoch")).toBe(1);
    for (const unknown of ["hypercore_serf_queue_depth", "hypercore_workload_count", "hypercore_ibrl_latency_seconds"]) {
      expect(await metric(sidecar, unknown)).toBeUndefined();
    }
  });

  test("its log says so once, however often it asks", async () => {
    const asked = await metric(sidecar, "hypercore_ibrl_sequence");
    await eventually(async () => expect(await metric(sidecar, "hypercore_ibrl_sequence")).toBeGreaterThan((asked ?? 0) + 3), { timeoutMs: 60_000 });
    const warnings = logOf(sidecar).filter(({ level }) => level !== "info");
    expect(warnings.map(({ level, msg, dependency }) => [level, dependency ?? msg.includes(ALONE)])).toEqual([["warn", "consul"], ["warn", true]]);
  }, 90_000);

  test("it joins by itself when the agent comes, and is then in the catalog under the agent's name", async () => {
    const before = (await listed(sidecar))[0]?.beacon?.["beacon_node_id"];
    const agent = agentAt(0);
    await agent.start();
    await agent.waitReady();
    await eventually(
      async () => {
        const found = await instances(agent);
        expect(found.map(({ Node }) => Node.Node)).toEqual(["late-agent"]);
        expect(found[0]?.Checks.map(({ Status }) => Status)).toEqual(["passing", "passing"]);
        expect(await sidecar.getJson("/readyz")).toEqual({ ready: true, consul: "connected", standalone: false });
        const states = await listed(sidecar);
        expect(states).toMatchObject([{ node: { name: "late-agent", datacenter: "dc1" }, trust: "pinned", alive: true }]);
        expect(states[0]?.beacon?.["beacon_node_id"]).toBe(before); // the same key, joined
        expect(await metric(sidecar, "hypercore_ibrl_consul_up")).toBe(1);
      },
      { timeoutMs: 60_000 },
    );
    expect(said(sidecar, ALONE)).toBe(1);
    expect(said(sidecar, "joined the Consul agent's cluster")).toBe(1);
    expect(await agent.getJson<object[]>("/v1/kv/ibrl/v1/nodes/late-agent/state")).toHaveLength(1);
    expect(await agent.getJson<object[]>("/v1/kv/ibrl/v1/pins/dc1/late-agent")).toHaveLength(1);
    // What it sealed alone stays its own: the cluster has one node.
    expect((await fetch(`${agent.httpUrl}/v1/kv/ibrl/v1/nodes/alone-0/state`)).status).toBe(404);
  }, 150_000);

  test("stopped alone or joined, it ends well", async () => {
    expect(await sidecar.stop(15_000)).toEqual({ code: 0, signal: null });
  }, 30_000);
});

test("stopped while there is still no Consul, it ends at once and well", async () => {
  const sidecar = sidecarAt(1);
  await sidecar.start();
  await sidecar.waitReady();
  expect(await sidecar.stop(15_000)).toEqual({ code: 0, signal: null });
}, 120_000);

describe("the beacon endpoint", () => {
  const gauges = async (sidecar: SidecarProcess): Promise<unknown[]> => [
    await metric(sidecar, "hypercore_ibrl_beacon_configured"),
    await metric(sidecar, "hypercore_ibrl_beacon_connected"),
  ];

  const changes = (sidecar: SidecarProcess): string[] =>
    logOf(sidecar).filter(({ dependency }) => dependency === "beacon endpoint").map(({ msg }) => msg);

  async function listening(server: Server, port = 0): Promise<number> {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  async function withEndpoint(index: number, url: string, check: (sidecar: SidecarProcess) => Promise<void>): Promise<void> {
    const sidecar = sidecarAt(index, `--beacon-endpoint=${url}`);
    await sidecar.start();
    try {
      await sidecar.waitReady();
      await check(sidecar);
    } finally {
      await sidecar.stop();
    }
  }

  test("none: neither configured nor connected, and nothing is tried", () =>
    withEndpoint(2, "", async (sidecar) => {
      expect(await gauges(sidecar)).toEqual([0, 0]);
      expect(changes(sidecar)).toEqual([]);
    }), 120_000);

  // Both at once: what takes the time is the waiting between two tries.
  test("connected while it answers, degraded while it does not, connected again when it is back: http and tcp", async () => {
    await Promise.all([
      comesAndGoes(1, "http", () => createHttpServer((_, response) => response.writeHead(404).end())),
      comesAndGoes(3, "tcp", () => createServer((socket) => socket.end())),
    ]);
  }, 200_000);

  async function comesAndGoes(index: number, scheme: string, create: () => Server): Promise<void> {
    const first = create();
    const port = await listening(first);
    await close(first);
    await withEndpoint(index, `${scheme}://127.0.0.1:${String(port)}`, async (sidecar) => {
      // Unreachable: said in the metric, and in the way of nothing.
      await eventually(async () => {
        expect(await gauges(sidecar)).toEqual([1, 0]);
        expect(changes(sidecar)).toEqual(["Dependency is down"]);
      });
      expect(await listed(sidecar)).toMatchObject([{ trust: "first-use" }]);

      const second = create();
      await listening(second, port);
      await eventually(async () => expect(await gauges(sidecar)).toEqual([1, 1]), { timeoutMs: 40_000 });
      await close(second);
      await eventually(async () => expect(await gauges(sidecar)).toEqual([1, 0]), { timeoutMs: 40_000 });
      const third = create();
      await listening(third, port);
      await eventually(async () => expect(await gauges(sidecar)).toEqual([1, 1]), { timeoutMs: 40_000 });
      // One line for each change, however often it was tried.
      expect(changes(sidecar)).toEqual(["Dependency is down", "Dependency is up", "Dependency is down", "Dependency is up"]);
      await close(third);
    });
  }

  test("an HTTP endpoint that answers 503 is not connected", async () => {
    const server = createHttpServer((_, response) => response.writeHead(503).end());
    const port = await listening(server);
    await withEndpoint(2, `http://127.0.0.1:${String(port)}`, async (sidecar) => {
      await eventually(() => expect(logOf(sidecar)).toContainEqual(expect.objectContaining({ dependency: "beacon endpoint", reason: expect.stringContaining("answers 503") })));
      expect(await gauges(sidecar)).toEqual([1, 0]);
    });
    await close(server);
  }, 120_000);
});

async function close(server: Server): Promise<void> {
  if ("closeAllConnections" in server) (server as Server & { closeAllConnections(): void }).closeAllConnections();
  server.close();
  await once(server, "close");
}
