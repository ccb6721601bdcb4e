/**
 * Workloads under Nomad's docker driver: an image on the policy's best node, its ports, logs and end; an image that the best node
 * cannot get, and one that nobody can. Two nodes in network namespaces, each with a Docker engine of its own; no registry answers.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { UsageDocument } from "../../src/commands/views/usage.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { readHost } from "../../src/sidecar/readings/host.js";
import { runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { DockerEngine, whyNoDocker } from "../harness/docker-engine.js";
import { NamespaceNetwork } from "../harness/netns.js";
import { listedNode, sidecarOf } from "../harness/observe.js";

const PRICES = ["0.001", "0.002"]; // node-1 is the cheapest
const CHEAPEST = { version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } };
const EVERYWHERE = "ibrl-test/web:1";
const ON_NODE_2 = "ibrl-test/second:1";
const NOWHERE = "ibrl-test/nowhere:1";
const MB = 1_000_000;
/** A greeting, or as many bytes as the path says. */
const SERVER = `
  const server = require("http").createServer((asked, answer) => {
    console.log("asked " + asked.url);
    answer.end(Number(asked.url.slice(1)) > 0 ? Buffer.alloc(Number(asked.url.slice(1))) : process.env.GREETING + " " + process.argv.slice(1).join(" "));
  });
  server.listen(80, () => console.error("listening"));
  process.on("SIGTERM", () => process.exit());`;
const CHANGES = [`ENTRYPOINT ${JSON.stringify([process.execPath, "-e", SERVER, "--"])}`, "EXPOSE 80", "ENV GREETING=nobody"];
const TEST_MS = 120_000;
const WITHIN = { timeoutMs: 60_000, everyMs: 250 };

let folder: RunFolder;
let network: NamespaceNetwork;
let engines: DockerEngine[] = [];
let cluster: LocalCluster;

const why = await whyNoDocker();
const withDocker = why === null ? describe : describe.skip;
withDocker(`the docker driver${why === null ? "" : ` (not run here: ${why})`}`, () => {
  beforeAll(async () => {
    folder = testRunFolder();
    network = await NamespaceNetwork.create(2, folder);
    engines = await Promise.all(network.nodes.map((namespace) => DockerEngine.start(namespace, folder)));
    await Promise.all(engines.map(async (engine, index) => {
      for (const image of index === 0 ? [EVERYWHERE] : [EVERYWHERE, ON_NODE_2]) await engine.makeImage(image, [process.execPath], CHANGES);
    }));
    writeFileSync(join(folder.path, "cheapest.json"), JSON.stringify(CHEAPEST));
    cluster = await startTestCluster({
      nodes: 2,
      nomad: true,
      placement: (index) => ({ ...network.nodes[index]!.placement, prefix: engines[index]!.prefix }),
      nomadConfig: (index) => ({
        // Where ports of the host are.
        client: { network_interface: "eth0" },
        plugin: [{ docker: [{ config: [{ endpoint: engines[index]!.endpoint }] }] }, { raw_exec: [{ config: [{ enabled: true }] }] }],
      }),
      sidecarArgs: (index) => ["--beat=500ms", "--heartbeat-min=2s", "--insecure-bind", "--proof-interval=1s", "--usage-period=5s", `--beacon-price=${PRICES[index] ?? ""}`],
    });
    await eventually(async () => {
      for (const { name } of cluster.nodes) expect((await listedNode(sidecarOf(cluster.nodes[0]), name)).beacon?.["node_capabilities"]).toEqual(expect.arrayContaining(["container", "docker"]));
    }, WITHIN);
  }, 300_000);
  afterAll(async () => {
    await stopTestCluster(cluster);
    for (const engine of engines) await engine.stop();
    await network?.remove();
  }, 120_000);

  const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
  const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;
  interface Answer { id: string; url: string; node: string; allocationId: string; passedOver: { node: string; reason: string }[] }
  const cli = async (...args: string[]) => {
    const grpc = await network.nodes[0]!.forward(node(0).ports.sidecarGrpc);
    return runCli(args, { ...cluster.environment(), IBRL_GRPC_ADDR: grpc });
  };
  const spawn = (image: string, ...flags: string[]) => cli("cluster", "spawn", "--image-ref", image, "--cpu=1", "--mem=64", "--policy", join(folder.path, "cheapest.json"), ...flags);
  async function spawned(image: string, ...flags: string[]): Promise<Answer> {
    const { code, stdout, stderr } = await spawn(image, "--json", ...flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout) as Answer;
  }
  /** As another host asks. */
  const ask = (from: number, url: string) => network.nodes[from]!.exec("curl", "--silent", "--show-error", "--fail", "--max-time", "5", url);
  const containers = async (index: number) => (await engines[index]!.docker("ps", "--all", "--format", "{{.Image}} {{.State}}")).split("\n").filter((line) => line !== "");

  test("the engine is found by its socket too, as where there is no Nomad", async () => {
    expect(await readHost({ kvm: "/nowhere", engineSockets: [new URL(engines[0]!.endpoint).pathname] })).toEqual({ kvm: false, containerEngine: true });
  });

  test("an image runs on the best node; its port answers at the URL, to another host too; logs; gone when it is stopped", async () => {
    const answer = await spawned(`${EVERYWHERE}?arg=and&arg=two+words`, "--ports", "28080:80,auto:81", "--env", "GREETING=hello");
    expect(answer).toMatchObject({ node: "node-1", passedOver: [], url: `http://${node(0).address}:28080` });
    for (const from of [1, 0]) expect(await eventually(() => ask(from, `${answer.url}/from-${String(from)}`), WITHIN)).toBe("hello and two words");
    expect(await containers(0)).toEqual([`${EVERYWHERE} running`]);
    await eventually(async () => expect(await cli("cluster", "logs", "--id", answer.id)).toEqual({ code: 0, stdout: "asked /from-1\nasked /from-0\n", stderr: "listening\n" }), WITHIN);
    expect((await cli("cluster", "list")).stdout).toContain(`${answer.id}/work  running`);
    // Docker forwards the port to an address of its own; the bytes are counted where the host has them.
    await network.nodes[1]!.exec("curl", "--silent", "--fail", "--output", "/dev/null", `${answer.url}/${String(4 * MB)}`);
    await eventually(async () => {
      const { total } = JSON.parse((await cli("cluster", "usage", "--workload", answer.id, "--json")).stdout) as UsageDocument;
      expect(total.bytesOut).toBeGreaterThan(4 * MB);
      expect(total.bytesOut).toBeLessThan(4.4 * MB);
    }, WITHIN);
    expect(await cli("cluster", "stop", "--id", answer.id)).toEqual({ code: 0, stdout: `stopped ${answer.id} on node-1\n`, stderr: "" });
    await eventually(async () => {
      await expect(ask(1, answer.url)).rejects.toThrow();
      expect(await containers(0)).toEqual([]);
    }, WITHIN);
  }, TEST_MS);

  test("an image that the best node cannot get runs on the next, with Nomad's words about it", async () => {
    const answer = await spawned(ON_NODE_2, "--ports", "auto:80");
    expect(answer).toMatchObject({ node: "node-2", passedOver: [{ node: "node-1", reason: expect.stringMatching(/Failed to pull `ibrl-test\/second:1`/) as string }] });
    expect(await eventually(() => ask(0, answer.url), WITHIN)).toBe("nobody ");
    expect((await cli("cluster", "stop", "--id", answer.id)).code).toBe(0);
  }, TEST_MS);

  test("an image that nobody has: both refuse, and nothing is left of the job", async () => {
    const { code, stderr } = await spawn(NOWHERE);
    expect(code).toBe(1);
    expect(stderr.replaceAll(/\s+›?\s*/g, " ")).toMatch(/node-1: .*Failed to pull .*node-2: .*Failed to pull /);
    expect((await nomad<{ Status: string }[]>("/v1/jobs?prefix=ibrl-")).filter(({ Status }) => Status !== "dead")).toEqual([]);
    for (const index of [0, 1]) await eventually(async () => expect(await containers(index)).toEqual([]), WITHIN);
  }, TEST_MS);
});
