/**
 * The image of nomad/Dockerfile, built as it stands, and nomad/sidecar-docker.nomad.hcl, run as it stands on two Nomad clients with a
 * Docker engine each and Consul with ACLs. No registry is asked: what its FROM names is made here of Debian's packages and Node.js.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { builtProject, plainEnvironment } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { addNode, makeDebianTree, whyNoDebianTree } from "../harness/debian-tree.js";
import { DockerEngine, whyNoDocker } from "../harness/docker-engine.js";
import { NamespaceNetwork } from "../harness/netns.js";
import { beaconIn, type Instance, type ListedState } from "../harness/observe.js";

const run = promisify(execFile);
const BASE = "node:22-bookworm-slim";
const IMAGE = "hypercore-ibrl:0.1.0";
const JOB = "hypercore-ibrl";
const NODES = ["node-1", "node-2"];
/** Of the image's user, `node`. */
const USER = 1000;
const TOKEN = randomUUID();
const WITHIN = { timeoutMs: 120_000, everyMs: 500 };
const project = builtProject();
let folder: RunFolder;
let network: NamespaceNetwork;
let engines: DockerEngine[] = [];
let cluster: LocalCluster;
let nodeVersion = "";

const why = (await whyNoDocker()) ?? (await whyNoDebianTree());
const here = why === null ? describe : describe.skip;
here(`the image${why === null ? "" : ` (not run here: ${why})`}`, () => {
  beforeAll(async () => {
    folder = testRunFolder();
    const archive = await buildImage();
    network = await NamespaceNetwork.create(NODES.length, folder);
    engines = await Promise.all(network.nodes.map((namespace) => DockerEngine.start(namespace, folder)));
    for (const engine of engines) await engine.docker("load", "--quiet", "--input", archive);
    NODES.forEach((_, index) => makeVolumes(index));
    cluster = await startTestCluster({
      nodes: NODES.length,
      nomad: true,
      sidecars: false,
      // The task's socket stands below it, and a socket's path has at most 107 bytes.
      folderPrefix: "ibrl",
      placement: (index) => ({ ...network.nodes[index]!.placement, prefix: engines[index]!.prefix }),
      // The job asks the agent at 127.0.0.1, as where there is one on every host.
      consulConfig: (index) => ({ addresses: { http: `${network.nodes[index]!.address} 127.0.0.1` }, acl: { enabled: true, default_policy: "deny", tokens: { initial_management: TOKEN, agent: TOKEN } } }),
      nomadConfig: (index) => ({
        consul: [{ token: TOKEN }],
        client: {
          network_interface: "eth0",
          host_volume: [{ "hypercore-ibrl-state": [{ path: volume("state", index) }] }, { "hypercore-ibrl-config": [{ path: volume("config", index), read_only: true }] }],
        },
        plugin: [{ docker: [{ config: [{ endpoint: engines[index]!.endpoint }] }] }],
      }),
    });
  }, 600_000);
  afterAll(async () => {
    await stopTestCluster(cluster);
    for (const engine of engines) await engine.stop();
    await network?.remove();
  }, 120_000);

  /** Answers with the archive of the image. npm's registry is reached as this machine reaches it. */
  async function buildImage(): Promise<string> {
    const root = join(folder.path, "base");
    await makeDebianTree(root);
    nodeVersion = await addNode(root, join(folder.path, "node"), { node: 22, npm: 10 });
    const base = join(folder.path, "base.tar");
    await run("tar", ["-C", root, "-cf", base, "."]);
    const engine = await DockerEngine.start(null, folder);
    try {
      await engine.docker("import", "--change", 'CMD ["node"]', base, BASE);
      const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => (process.env[name] === undefined ? [] : ["--build-arg", name]));
      await engine.docker("build", "--network", "host", ...proxies, "--file", join(project, "nomad/Dockerfile"), "--tag", IMAGE, project);
      const archive = join(folder.path, "image.tar");
      await engine.docker("save", "--output", archive, IMAGE);
      return archive;
    } finally {
      await engine.stop();
    }
  }

  const volume = (kind: string, index: number): string => join(folder.path, `${kind}-${String(index)}`);
  function makeVolumes(index: number): void {
    for (const kind of ["state", "config"]) mkdirSync(volume(kind, index));
    chmodSync(volume("state", index), 0o700);
    chownSync(volume("state", index), USER, USER);
    const token = join(volume("config", index), "consul-token");
    writeFileSync(token, TOKEN);
    chmodSync(token, 0o640);
    chownSync(token, 0, USER);
  }

  const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
  const nomad = async (...args: string[]): Promise<string> => {
    const address = await network.nodes[0]!.forward(node(0).ports.nomadHttp);
    return (await run(cluster.nomadBinary?.path ?? "nomad", args, { cwd: project, env: plainEnvironment({ NOMAD_ADDR: `http://${address}` }), maxBuffer: 1 << 24 })).stdout;
  };
  const deploy = (...flags: string[]) => nomad("job", "run", "-detach", ...flags, "nomad/sidecar-docker.nomad.hcl");

  async function consul<T>(path: string, method = "GET"): Promise<T> {
    const address = await network.nodes[0]!.forward(node(0).ports.consulHttp);
    const answer = await fetch(`http://${address}${path}`, { method, headers: { "x-consul-token": TOKEN } });
    if (!answer.ok) throw new Error(`Consul answers ${String(answer.status)}`);
    return (await answer.json()) as T;
  }
  const instances = () => consul<Instance[]>("/v1/health/service/ibrl-beacon");

  const beacons = async () => Object.fromEntries((await instances()).map((instance) => [instance.Node.Node, beaconIn(instance)]));

  interface Allocation { ID: string; ClientStatus: string; NodeName: string; JobVersion: number }
  async function running(version: number): Promise<Allocation[]> {
    return (JSON.parse(await nomad("job", "allocs", "-json", JOB)) as Allocation[]).filter(({ ClientStatus, JobVersion }) => ClientStatus === "running" && JobVersion === version);
  }
  /** Each sidecar's own listing, over the loopback of its host. */
  async function trust(): Promise<string[]> {
    const views = await Promise.all(network.nodes.map(async (namespace) => {
      const { response } = JSON.parse(await namespace.exec("curl", "-sf", "http://127.0.0.1:8001/list")) as { response: { states: ListedState[] } };
      return response.states.map(({ node: { name }, trust: judged }) => `${name} ${judged}`);
    }));
    return views.flat().sort();
  }
  async function runsEverywhere(version: number): Promise<void> {
    await eventually(async () => {
      expect((await running(version)).map(({ NodeName }) => NodeName).sort()).toEqual(NODES);
      expect(await trust()).toEqual(["node-1 pinned", "node-1 pinned", "node-2 pinned", "node-2 pinned"]);
    }, WITHIN);
  }

  test("it is Node.js 22 and the package, for a user without rights; the sidecar in it, by `docker run`, is in the catalog, and leaves when stopped", async () => {
    const [engine] = engines as [DockerEngine];
    expect(nodeVersion).toMatch(/^v22\./);
    const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { version: string };
    expect(await engine.docker("run", "--rm", "--network", "none", IMAGE, "--version")).toContain(`hypercore-ibrl/${version} linux-${process.arch} node-${nodeVersion}`);
    const { Config } = (JSON.parse(await engine.docker("inspect", IMAGE)) as [{ Config: { User: string } }])[0];
    expect(Config.User).toBe("node");
    await engine.docker("run", "--detach", "--name", "by-hand", "--network", "host", "--env", "CONSUL_HTTP_TOKEN_FILE=/run/token", "--volume", `${join(volume("config", 0), "consul-token")}:/run/token:ro`, IMAGE);
    await eventually(async () => expect((await instances()).map(({ Node, Checks }) => [Node.Node, Checks.every(({ Status }) => Status === "passing")])).toEqual([["node-1", true]]), WITHIN);
    expect((await engine.docker("exec", "by-hand", "id", "-u")).trim()).toBe(String(USER));
    expect(await engine.docker("logs", "by-hand")).not.toMatch(/"level":"(warn|error)"/);
    await engine.docker("stop", "by-hand");
    expect((await engine.docker("inspect", "--format", "{{.State.ExitCode}}", "by-hand")).trim()).toBe("0");
    expect(await instances()).toEqual([]);
    await engine.docker("rm", "--volumes", "by-hand");
    expect(await consul("/v1/kv/ibrl/?recurse", "DELETE")).toBe(true); // the job's sidecar has another key
  }, 180_000);

  test("the job: a sidecar on each host, health checked by Nomad, which it asks over the task's socket; state and token from the host's volumes", async () => {
    await deploy();
    await runsEverywhere(0);
    await eventually(async () => {
      for (const { ID } of await running(0)) {
        const checks = Object.values(JSON.parse(await nomad("alloc", "checks", "-json", ID)) as Record<string, { Check: string; Status: string }>);
        expect(checks.map(({ Check, Status }) => `${Check} ${Status}`).sort()).toEqual(["alive success", "ready success"]);
      }
      // Drivers are Nomad's word alone.
      for (const { capabilities } of Object.values(await beacons())) expect(capabilities).toEqual(expect.arrayContaining(["container", "docker"]));
    }, WITHIN);
    NODES.forEach((_, index) => expect(readdirSync(volume("state", index))).toContain("identity.pem"));
  }, 240_000);

  test("another image replaces it, one host after the other; each keeps its key and counts on", async () => {
    const before = await beacons();
    for (const engine of engines) await engine.docker("tag", IMAGE, "hypercore-ibrl:next");
    await deploy("-var=image=hypercore-ibrl:next");
    const listed: number[] = [];
    await eventually(async () => {
      listed.push((await instances()).filter(({ Checks }) => Checks.every(({ Status }) => Status === "passing")).length);
      expect((await running(1)).map(({ NodeName }) => NodeName).sort()).toEqual(NODES);
    }, { ...WITHIN, everyMs: 200 });
    expect(Math.min(...listed)).toBeGreaterThan(0);
    await runsEverywhere(1);
    const after = await beacons();
    for (const name of NODES) {
      expect(after[name]?.key).toBe(before[name]?.key);
      expect(after[name]?.epoch).toBeGreaterThan(before[name]?.epoch ?? Infinity);
    }
  }, 240_000);

  test("stopped and purged it has left Consul, and no container is left", async () => {
    await nomad("job", "stop", "-purge", "-detach", JOB);
    await eventually(async () => {
      expect(await instances()).toEqual([]);
      for (const engine of engines) expect(await engine.docker("ps", "--all", "--quiet")).toBe("");
    }, WITHIN);
  }, 180_000);
});
