/**
 * nomad/sidecar.nomad.hcl as an operator runs it: the packed package on two Nomad clients, the token and the key in host
 * volumes, replaced in place, removed. The docker job is validated and planned: there is no Docker here.
 */
import { execFile, execFileSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { execChroot } from "../../src/dev/exec-chroot.js";
import type { LocalCluster } from "../../src/dev/local-cluster.js";
import { builtProject, plainEnvironment } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { instances } from "../harness/observe.js";

const INSTALLED = "/usr/lib/node_modules";
const NODE_PROGRAM = "/usr/bin/node";
const LONG = { timeoutMs: 120_000, everyMs: 500 };
/** Every Linux has it; an operator makes one for the sidecar. */
const USER = "nobody";
const asRoot = process.platform === "linux" && process.geteuid?.() === 0;
let project: string;
let scratch: string;
let cluster: LocalCluster;

const run = (program: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<{ stdout: string; stderr: string }> =>
  promisify(execFile)(program, args, { cwd, env: plainEnvironment({ npm_config_loglevel: "error", npm_config_update_notifier: "false", ...env }), maxBuffer: 1 << 24 });
const volume = (kind: string, index: number): string => join(scratch, `${kind}-${String(index)}`);

// Without root there is no exec driver.
const withExec = asRoot ? describe : describe.skip;
withExec("the system job", () => {
  beforeAll(async () => {
    project = builtProject();
    const userId = Number(execFileSync("id", ["-u", USER], { encoding: "utf8" }));
    scratch = mkdtempSync(join(tmpdir(), "ibrl-deployment-"));
    await run("npm", ["pack", "--pack-destination", scratch], project);
    const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { version: string };
    writeFileSync(join(scratch, "package.json"), "{}");
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--omit=dev", `./hypercore-ibrl-${version}.tgz`], scratch);
    for (const index of [0, 1]) {
      mkdirSync(volume("state", index), { mode: 0o700 });
      mkdirSync(volume("config", index), { mode: 0o700 });
      writeFileSync(join(volume("config", index), "consul-token"), "not-asked-for\n", { mode: 0o400 });
      for (const path of [volume("state", index), volume("config", index), join(volume("config", index), "consul-token")]) chownSync(path, userId, userId);
    }
    cluster = await startTestCluster({
      nodes: 2,
      nomad: true,
      sidecars: false,
      nomadConfig: (index) => ({
        client: {
          // Two hosts on one machine: what each calls its own.
          meta: { address: `127.0.0.${String(index + 1)}` },
          // Nomad's JSON wants labelled blocks as lists.
          host_volume: [
            { "hypercore-ibrl-state": [{ path: volume("state", index) }] },
            { "hypercore-ibrl-config": [{ path: volume("config", index), read_only: true }] },
          ],
          chroot_env: { ...execChroot([process.execPath]), [process.execPath]: NODE_PROGRAM, [join(scratch, "node_modules")]: INSTALLED },
        },
      }),
    });
  }, 400_000);
  afterAll(async () => {
    await stopTestCluster(cluster);
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  const nomad = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    run(cluster.nomadBinary?.path ?? "nomad", args, project, { NOMAD_ADDR: cluster.environment()["NOMAD_ADDR"] ?? "" });
  const deploy = (release: string): Promise<unknown> => {
    const { ports } = cluster.nodes[0] as LocalCluster["nodes"][0];
    const given = {
      release, user: USER, bind_address: "${meta.address}", consul_http_addr: `http://\${meta.address}:${String(ports.consulHttp)}`, nomad_addr: `http://\${meta.address}:${String(ports.nomadHttp)}`,
      grpc_port: String(ports.sidecarGrpc), http_port: String(ports.sidecarHttp), settings_file: "settings.json",
    };
    for (const index of [0, 1]) {
      const settings = { "probe-bind-addr": `127.0.0.${String(index + 1)}:${String(ports.sidecarProbe)}` };
      writeFileSync(join(volume("config", index), "settings.json"), JSON.stringify(settings));
    }
    return nomad("job", "run", "-detach", ...Object.entries(given).map(([name, value]) => `-var=${name}=${value}`), "nomad/sidecar.nomad.hcl");
  };
  interface Allocation { ID: string; ClientStatus: string; NodeName: string; JobVersion: number }
  const allocations = async (): Promise<Allocation[]> => {
    const answer = await fetch(`http://${cluster.nodes[0]?.nomad?.httpAddr ?? ""}/v1/job/hypercore-ibrl/allocations`);
    return (await answer.json()) as Allocation[];
  };
  const beaconIds = async (): Promise<Record<string, string>> => {
    const consul = cluster.nodes[0]?.consul;
    if (consul === undefined) throw new Error("no agent");
    const found = await instances(consul);
    return Object.fromEntries(found.map(({ Node, Service }) => [Node.Node, Buffer.from(Service.Meta["ibrl-beacon"] ?? "", "base64").subarray(2, 34).toString("hex")]));
  };
  const running = (version: number): Promise<void> =>
    eventually(async () => {
      const ours = (await allocations()).filter(({ ClientStatus, JobVersion }) => ClientStatus === "running" && JobVersion === version);
      expect(ours.map(({ NodeName }) => NodeName).sort()).toEqual(["node-1", "node-2"]);
      expect(Object.keys(await beaconIds()).sort()).toEqual(["node-1", "node-2"]);
    }, LONG);

  test("one sidecar on each client, with its health checked by Nomad", async () => {
    await deploy("1");
    await running(0);
    await eventually(async () => {
      for (const { ID } of await allocations()) {
        const { stdout } = await nomad("alloc", "checks", "-json", ID);
        const checks = Object.values(JSON.parse(stdout) as Record<string, { Check: string; Status: string }>);
        expect(checks.map(({ Check, Status }) => [Check, Status]).sort()).toEqual([["alive", "success"], ["ready", "success"]]);
      }
    }, LONG);
  }, 200_000);

  test("a new release replaces them one by one, and each keeps its key", async () => {
    const keys = await beaconIds();
    await deploy("2");
    await running(1);
    expect(await beaconIds()).toEqual(keys);
  }, 200_000);

  test("stopped and purged, nothing of it is left in Consul, and on the hosts only the volumes", async () => {
    await nomad("job", "stop", "-purge", "-detach", "hypercore-ibrl");
    await eventually(async () => {
      expect(await beaconIds()).toEqual({});
      for (const { consul } of cluster.nodes) {
        expect(Object.keys(await consul.getJson<object>("/v1/agent/checks"))).not.toContainEqual(expect.stringContaining("ibrl"));
      }
      const states = await fetch(`${cluster.nodes[0]?.consul.httpUrl ?? ""}/v1/kv/ibrl/v1/nodes/?keys`);
      expect(states.status).toBe(404);
    }, LONG);
    expect(readFileSync(join(volume("config", 0), "consul-token"), "utf8")).toBe("not-asked-for\n");
  }, 200_000);

  test("the docker job is one that Nomad takes, and lacks only the driver here", async () => {
    const file = "nomad/sidecar-docker.nomad.hcl";
    await nomad("job", "validate", file);
    // 1: the plan would change something. 255 is an error.
    const plan = await nomad("job", "plan", file).catch((error: unknown) => error as { code: number; stdout: string });
    expect({ ...plan }).toMatchObject({ code: 1, stdout: expect.stringContaining("missing drivers") });
  }, 60_000);
});
