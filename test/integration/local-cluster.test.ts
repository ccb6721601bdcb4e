/** The local cluster itself, on real agents: both addressings, faults, and that nothing is left of it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { killNode } from "../../src/dev/kill-node.js";
import type { LocalCluster } from "../../src/dev/local-cluster.js";
import { defaultAddressing, nodeEndpoints } from "../../src/dev/ports.js";
import { RunFolder } from "../../src/dev/run-folder.js";
import { eventually, startTestCluster, stopTestCluster, TEST_FIRST_SHIFT, testRunFolder } from "../harness/cluster.js";
import { NamespaceNetwork, whyNoNamespaces } from "../harness/netns.js";

interface Check {
  CheckID: string;
  Status: string;
}

let cluster: LocalCluster | undefined;

afterEach(async () => {
  await stopTestCluster(cluster);
  cluster = undefined;
});

const healthOf = async (from: LocalCluster, name: string): Promise<string | undefined> =>
  (await from.nodes[0]?.consul.getJson<Check[]>(`/v1/health/node/${name}`))?.find(({ CheckID }) => CheckID === "serfHealth")?.Status;

/** Rejects where nobody listens. */
async function connected(port: number, address: string): Promise<void> {
  const socket = connect(port, address);
  try {
    await once(socket, "connect");
  } finally {
    socket.destroy();
  }
}

const ADDRESSINGS = defaultAddressing() === "addresses" ? (["addresses", "ports"] as const) : (["ports"] as const);

it.each(ADDRESSINGS)("three agents by %s form one cluster, of which nothing is left", async (addressing) => {
  cluster = await startTestCluster({ sidecars: false, addressing });
  const nodes = await cluster.nodes[2]?.consul.getJson<{ Node: string; Address: string }[]>("/v1/catalog/nodes");
  const addresses = addressing === "addresses" ? ["127.0.0.1", "127.0.0.2", "127.0.0.3"] : ["127.0.0.1", "127.0.0.1", "127.0.0.1"];
  expect(nodes?.map(({ Node, Address }) => [Node, Address])).toEqual(addresses.map((address, i) => [`node-${i + 1}`, address]));
  expect(cluster.survivors()).toHaveLength(3);
  expect(cluster.environment()["CONSUL_HTTP_ADDR"]).toContain(cluster.nodes[0]?.consul.httpAddr);

  await cluster.stop();
  expect(cluster.survivors()).toEqual([]);
  expect(existsSync(cluster.folder)).toBe(false);
  for (const { consul } of cluster.nodes) await consul.exited;
});

it("a taken port moves the whole set, and what has it is not touched", async () => {
  const firstShift = TEST_FIRST_SHIFT + 5; // a set that no other cluster of tests wants first
  const [node] = nodeEndpoints(1, "ports", firstShift);
  const other = createServer((socket) => socket.end("not Consul")).listen(node?.ports.consulHttp, "127.0.0.1");
  await once(other, "listening");
  cluster = await startTestCluster({ nodes: 1, sidecars: false, addressing: "ports", firstShift });
  expect(cluster.shift).toBeGreaterThan(firstShift);
  expect(cluster.taken).toContain(`127.0.0.1:${node?.ports.consulHttp}`);
  expect(other.listening).toBe(true);
  other.close();
});

it("two clusters at once do not see each other", async () => {
  cluster = await startTestCluster({ nodes: 1, sidecars: false });
  const second = await startTestCluster({ nodes: 1, sidecars: false, nodeName: () => "other" });
  for (const one of [cluster, second]) {
    expect(await one.nodes[0]?.consul.getJson<object[]>("/v1/agent/members")).toHaveLength(1);
  }
  await stopTestCluster(second);
});

it("an agent that refuses its configuration is told with its own words, and nothing is left", async () => {
  const starting = startTestCluster({ nodes: 2, sidecars: false, consulConfig: (i) => (i === 1 ? { log_level: "loud" } : {}) });
  await expect(starting).rejects.toMatchObject({ code: "process-exited", message: expect.stringContaining("loud") });
  expect(await RunFolder.cleanStale("hypercore-test")).toEqual([]);
});

it("an abort while it starts ends it", async () => {
  const abort = new AbortController();
  const starting = startTestCluster({ sidecars: false, signal: abort.signal, consulConfig: () => ({ retry_join: [], bootstrap_expect: 3, server: true }) });
  setTimeout(() => abort.abort(), 1_000);
  await expect(starting).rejects.toMatchObject({ name: "AbortError" });
});

it("the leader of three servers is killed: another is elected; it returns with its data", async () => {
  cluster = await startTestCluster({ servers: 3, sidecars: false });
  const leaderSeenBy = (i: number): Promise<string | undefined> | undefined => cluster?.nodes[i]?.consul.getJson<string>("/v1/status/leader");
  const old = await leaderSeenBy(0);
  const leader = cluster.nodes.find(({ address, ports }) => old === `${address}:${ports.consulRpc}`);
  const other = cluster.nodes.find((node) => node !== leader);
  leader?.consul.kill("SIGKILL");
  await eventually(async () => {
    const now = await leaderSeenBy(other?.index ?? 0);
    expect(now).not.toBe("");
    expect(now).not.toBe(old);
  });
  await leader?.consul.restart();
  await eventually(async () => expect(await leader?.consul.getJson<string[]>("/v1/status/peers")).toHaveLength(3));
});

it("an agent is paused, resumed, and restarted without its data", async () => {
  cluster = await startTestCluster({ nodes: 2, sidecars: false });
  const agent = cluster.nodes[1]?.consul;
  agent?.pause();
  await eventually(async () => expect(await healthOf(cluster as LocalCluster, "node-2")).toBe("critical"));
  agent?.resume();
  await eventually(async () => expect(await healthOf(cluster as LocalCluster, "node-2")).toBe("passing"), { timeoutMs: 60_000 });
  const idOf = async (): Promise<string | undefined> => (await agent?.getJson<{ Config: { NodeID: string } }>("/v1/agent/self"))?.Config.NodeID;
  const before = await idOf();
  await agent?.restart({ wipe: true });
  expect(await idOf()).not.toBe(before);
});

const DRIVERS = process.geteuid?.() === 0 && process.platform === "linux" ? ["raw_exec", "exec"] : ["raw_exec"];

it("Nomad runs jobs; a node that is killed takes its tasks with it, as the cluster does at its end", async () => {
  const folderPrefix = "hypercore-kill-test"; // no other test's cluster may be found by the name of a node
  cluster = await startTestCluster({ nodes: 2, sidecars: false, nomad: true, folderPrefix });
  const nomad = cluster.nodes[0]?.nomad;
  for (const driver of DRIVERS) {
    for (const node of ["node-1", "node-2"]) {
      const task = { Name: "sleeper", Driver: driver, Config: { command: "/usr/bin/sleep", args: ["600"] }, Resources: { CPU: 20, MemoryMB: 64 } };
      const Constraints = [{ LTarget: "${attr.unique.consul.name}", RTarget: node, Operand: "=" }];
      const Job = { ID: `${driver}-${node}`, Datacenters: ["dc1"], Constraints, TaskGroups: [{ Name: "sleeper", Tasks: [task] }] };
      const answer = await fetch(`${nomad?.httpUrl}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job }) });
      expect(answer.status).toBe(200);
    }
  }
  await eventually(async () => {
    const allocations = await nomad?.getJson<{ ClientStatus: string }[]>("/v1/allocations");
    expect(allocations?.map(({ ClientStatus }) => ClientStatus)).toEqual(DRIVERS.flatMap(() => ["running", "running"]));
  });
  // Two agents, and for each task Nomad's log collector, its executor and the task itself.
  const ofOneNode = process.platform === "linux" ? 2 + 3 * DRIVERS.length : 2;
  expect(cluster.survivors()).toHaveLength(2 * ofOneNode);

  expect(killNode("node-2", folderPrefix)).toHaveLength(ofOneNode);
  await eventually(() => expect(cluster?.survivors()).toHaveLength(ofOneNode));
  // /proc knows of an end before Node tells us.
  await eventually(() => expect(cluster?.nodes.map(({ nomad }) => nomad?.running)).toEqual([true, false]));
});

it("a node that no running cluster has is not killed", () => {
  for (const name of ["node-9", "..", ""]) {
    expect(() => killNode(name, "hypercore-kill-test")).toThrow(expect.objectContaining({ code: "bad-option" }));
  }
});

it("a run that was killed with -9 is cleaned up by the next", async () => {
  const module = join(import.meta.dirname, "..", "harness", "cluster.js");
  const script = `
    const { startTestCluster } = await import(${JSON.stringify(module)});
    const cluster = await startTestCluster({ nodes: 1, sidecars: false });
    console.log(JSON.stringify([cluster.folder, cluster.nodes[0].consul.address, cluster.nodes[0].ports.consulHttp]));
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(owner.stdout, "data")) as [Buffer];
  const [folder, address, port] = JSON.parse(line.toString()) as [string, string, number];
  const exited = once(owner, "exit");
  owner.kill("SIGKILL");
  await exited;
  await expect(connected(port, address)).resolves.toBeUndefined(); // it lives on without its owner

  expect(await RunFolder.cleanStale("hypercore-test")).toContain(folder);
  await expect(connected(port, address)).rejects.toThrow("ECONNREFUSED");
  expect(existsSync(folder)).toBe(false);
});

const why = await whyNoNamespaces("iptables", "tc");
(why === null ? it : it.skip)(`in network namespaces a node is cut off and healed${why === null ? "" : ` (${why})`}`, async () => {
  const network = await NamespaceNetwork.create(2, testRunFolder());
  try {
    cluster = await startTestCluster({ nodes: 2, sidecars: false, placement: (i) => network.nodes[i]?.placement ?? { address: "" } });
    const second = network.nodes[1];
    await second?.cut();
    await eventually(async () => expect(await healthOf(cluster as LocalCluster, "node-2")).toBe("critical"));
    await second?.heal();
    await eventually(async () => expect(await healthOf(cluster as LocalCluster, "node-2")).toBe("passing"), { timeoutMs: 60_000 });
    await second?.limitOutgoing(10_000_000);
    expect(await second?.exec("tc", "qdisc", "show", "dev", "eth0")).toContain("tbf");
    await second?.loseIncoming(0.25);
    expect(await second?.exec("iptables", "-S", "INPUT")).toContain("0.25");
  } finally {
    await stopTestCluster(cluster);
    await network.remove();
  }
});
