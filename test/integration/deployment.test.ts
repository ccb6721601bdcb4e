/**
 * nomad/sidecar.nomad.hcl as an operator runs it: the packed package on two Nomad clients, Consul with ACLs and mutual TLS,
 * Nomad with ACLs and mutual TLS; each host's own token and key in host volumes; updated in place from the version before, removed. And what is
 * beside it, as far as it can be tried without Docker and without systemd as the first process.
 */
import { execFile, execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findBinary } from "../../src/dev/binaries.js";
import type { ConsulAgent } from "../../src/dev/consul-agent.js";
import { execChroot } from "../../src/dev/exec-chroot.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { builtProject, plainEnvironment } from "../harness/built-cli.js";
import { eventually, quiet, SHIPPED_RULES, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { earlierVersion, whyNoEarlierVersion } from "../harness/earlier-version.js";
import { nomadTls, type NomadTls } from "../harness/nomad-tls.js";
import { beaconIn, instances, type ListedState } from "../harness/observe.js";

const JOB = "hypercore-ibrl";
const INSTALLED = "/usr/lib/node_modules";
const NODE_PROGRAM = "/usr/bin/node";
const LONG = { timeoutMs: 120_000, everyMs: 500 };
const NODES = ["node-1", "node-2"];
/** Every Linux has it; an operator makes one for the sidecar. */
const USER = "nobody";
const asRoot = process.platform === "linux" && process.geteuid?.() === 0;
const project = builtProject();
/** In a clone without history the update is to the same version. */
const hasEarlier = whyNoEarlierVersion() === null;
let scratch: string;
let cluster: LocalCluster;
let nomadToken = "";
let tls: NomadTls;

type Output = { stdout: string; stderr: string };
const run = (program: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<Output> =>
  promisify(execFile)(program, args, { cwd, env: plainEnvironment({ npm_config_loglevel: "error", npm_config_update_notifier: "false", ...env }), maxBuffer: 1 << 24 });
const nomad = (...args: string[]): Promise<Output> =>
  run(cluster.nomadBinary?.path ?? "nomad", args, project, { NOMAD_ADDR: cluster.nodes[0]?.nomad?.httpUrl ?? "", ...tls.env, NOMAD_TOKEN: nomadToken });
const volume = (kind: string, index: number): string => join(scratch, `${kind}-${String(index)}`);
const userId = (): number => Number(execFileSync("id", ["-u", USER], { encoding: "utf8" }));
const consul = (): ConsulAgent => (cluster.nodes[0] as LocalNode).consul;

/** As root would: files that only the sidecar's user reads. */
function fillConfig({ index, name, ports }: LocalNode): void {
  const env = cluster.environment(index);
  const config = volume("config", index);
  const files = { "consul-token": cluster.security?.tokenFile(name), "ca.pem": env["CONSUL_CACERT"], "client.pem": env["CONSUL_CLIENT_CERT"], "client-key.pem": env["CONSUL_CLIENT_KEY"] };
  for (const [file, from] of Object.entries(files)) copyFileSync(from ?? "", join(config, file));
  writeFileSync(join(config, "settings.json"), JSON.stringify({ "probe-bind-addr": `127.0.0.${String(index + 1)}:${String(ports.sidecarProbe)}` }));
  for (const path of [...readdirSync(config).map((file) => join(config, file)), config]) {
    chmodSync(path, path === config ? 0o500 : 0o400);
    chownSync(path, userId(), userId());
  }
}

/** As `npm install --global` of the packed package, for the hosts' tasks. */
async function install(from: string, name: string): Promise<void> {
  const packed = join(scratch, name);
  mkdirSync(packed);
  await run("npm", ["pack", "--pack-destination", packed], from);
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--omit=dev", ...readdirSync(packed).map((file) => `./${name}/${file}`)], scratch);
}

async function deploy(release: string): Promise<void> {
  const { ports } = cluster.nodes[0] as LocalNode;
  const given = {
    // A test has less time than an operator; still many times what a sidecar takes to start.
    release, stagger: "20s", user: USER, count_traffic: "true",
    // Two hosts on one machine.
    bind_address: "${meta.address}", consul_http_addr: `https://\${meta.address}:${String(ports.consulHttp)}`, consul_client_certificate: "true",
    grpc_port: String(ports.sidecarGrpc), http_port: String(ports.sidecarHttp), settings_file: "settings.json",
  };
  await nomad("job", "run", "-detach", ...Object.entries(given).map(([name, value]) => `-var=${name}=${value}`), "nomad/sidecar.nomad.hcl");
}

interface Allocation { ID: string; ClientStatus: string; NodeName: string; JobVersion: number }
async function running(version: number): Promise<Allocation[]> {
  const all = JSON.parse((await nomad("job", "allocs", "-json", JOB)).stdout) as Allocation[];
  return all.filter(({ ClientStatus, JobVersion }) => ClientStatus === "running" && JobVersion === version);
}

/** Of each node that Consul lists: its beacon, verified, with the key that signed it. */
const beacons = async () => Object.fromEntries((await instances(consul())).map((instance) => [instance.Node.Node, beaconIn(instance)]));

/** How each sidecar sees every node. */
async function trust(): Promise<string[]> {
  const views = await Promise.all(cluster.nodes.map(async ({ address, ports }) => {
    const { response } = (await (await fetch(`http://${address}:${String(ports.sidecarHttp)}/list`)).json()) as { response: { states: ListedState[] } };
    return response.states.map(({ node, trust: judged }) => `${node.name} ${judged}`);
  }));
  return views.flat().sort();
}

/** How many sidecars have a metric that the earlier version had not. */
async function ofThisVersion(): Promise<number> {
  const metrics = await Promise.all(cluster.nodes.map(async ({ address, ports }) => (await fetch(`http://${address}:${String(ports.sidecarHttp)}/metrics`)).text()));
  return metrics.filter((text) => text.includes("hypercore_ibrl_attestations_total")).length;
}

async function runsEverywhere(version: number): Promise<void> {
  await eventually(async () => {
    expect((await running(version)).map(({ NodeName }) => NodeName).sort()).toEqual(NODES);
    expect(await trust()).toEqual(["node-1 pinned", "node-1 pinned", "node-2 pinned", "node-2 pinned"]);
  }, LONG);
}

/** Processes of the task, by the path that only its chroot has. */
function processes(): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`${NODE_PROGRAM}\0${INSTALLED}/hypercore-ibrl/`);
    } catch {
      return false; // it has ended
    }
  });
}

// Without root there is no exec driver.
const withExec = asRoot ? describe : describe.skip;
withExec("the system job", () => {
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "ibrl-deployment-"));
    writeFileSync(join(scratch, "package.json"), "{}");
    await install(hasEarlier ? await earlierVersion() : project, "before");
    for (const index of [0, 1]) {
      for (const kind of ["state", "config"]) mkdirSync(volume(kind, index), { mode: 0o700 });
      chownSync(volume("state", index), userId(), userId());
    }
    mkdirSync(join(scratch, "nomad-tls"));
    tls = await nomadTls((await findBinary("nomad", { env: process.env, progress: quiet })).path, join(scratch, "nomad-tls"), ["127.0.0.1", "127.0.0.2"]);
    cluster = await startTestCluster({
      nodes: 2,
      nomad: true,
      nomadAccess: tls.access,
      sidecars: false,
      // The task's socket stands below it, and a socket's path has at most 107 bytes.
      folderPrefix: "ibrl",
      secured: SHIPPED_RULES,
      nomadConfig: (index) => ({
        acl: { enabled: true },
        tls: tls.config,
        // Nomad's own list, and what counting takes.
        plugin: [{ exec: [{ config: [{ allow_caps: ["audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod", "net_bind_service", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot", "net_admin"] }] }] }],
        client: {
          meta: { address: `127.0.0.${String(index + 1)}` },
          // The machine may have it.
          options: { "driver.denylist": "mock_driver,docker" },
          // Nomad's JSON wants labelled blocks as lists.
          host_volume: [
            { "hypercore-ibrl-state": [{ path: volume("state", index) }] },
            { "hypercore-ibrl-config": [{ path: volume("config", index), read_only: true }] },
          ],
          chroot_env: { ...execChroot([process.execPath, "/usr/sbin/nft"]), [process.execPath]: NODE_PROGRAM, [join(scratch, "node_modules")]: INSTALLED },
        },
      }),
    });
    nomadToken = (JSON.parse((await nomad("acl", "bootstrap", "-json")).stdout) as { SecretID: string }).SecretID;
    await nomad("acl", "policy", "apply", "ibrl-sidecar", "nomad/acl/nomad-sidecar.hcl");
    const { stdout: made } = await nomad("acl", "token", "create", "-json", "-policy=ibrl-sidecar");
    await nomad("var", "put", `nomad/jobs/${JOB}`, `nomad_token=${(JSON.parse(made) as { SecretID: string }).SecretID}`);
    cluster.nodes.forEach(fillConfig);
  }, 400_000);
  afterAll(async () => {
    await stopTestCluster(cluster);
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  test("one sidecar on each client, with its health checked by Nomad, and Nomad read over the task's socket", async () => {
    await deploy("1");
    await runsEverywhere(0);
    await eventually(async () => {
      for (const { ID } of await running(0)) {
        const { stdout } = await nomad("alloc", "checks", "-json", ID);
        const checks = Object.values(JSON.parse(stdout) as Record<string, { Check: string; Status: string }>);
        expect(checks.map(({ Check, Status }) => `${Check} ${Status}`).sort()).toEqual(["alive success", "ready success"]);
      }
      // Drivers are Nomad's word alone.
      for (const { capabilities } of Object.values(await beacons())) expect(capabilities).toContain("exec");
    }, LONG);
  }, 200_000);

  test(`${hasEarlier ? "this version replaces the one before" : "a new release (this version again: no history of another)"}, one by one: the service is never gone, each keeps its key and counts on`, async () => {
    const before = await beacons();
    expect(Object.keys(before).sort()).toEqual(NODES);
    expect(await ofThisVersion()).toBe(hasEarlier ? 0 : 2);
    await install(project, "now");
    await deploy("2");
    const listed: number[] = [];
    await eventually(async () => {
      listed.push((await instances(consul())).filter(({ Checks }) => Checks.every(({ Status }) => Status === "passing")).length);
      expect((await running(1)).map(({ NodeName }) => NodeName).sort()).toEqual(NODES);
    }, { ...LONG, everyMs: 200 });
    expect(Math.min(...listed)).toBeGreaterThan(0);
    await runsEverywhere(1);
    expect(await ofThisVersion()).toBe(2);
    // The kernel counts for a user without other rights.
    await eventually(async () => {
      for (const { address, ports } of cluster.nodes) expect((await (await fetch(`http://${address}:${String(ports.sidecarHttp)}/metrics`)).text()).split("\n")).toContain("hypercore_ibrl_traffic_metered 1");
    }, LONG);
    const after = await beacons();
    for (const name of NODES) {
      expect(after[name]?.key).toBe(before[name]?.key);
      expect(after[name]?.epoch).toBeGreaterThan(before[name]?.epoch ?? Infinity);
    }
  }, 200_000);

  test("stopped and purged it leaves only pins, proofs' roots and statements of usage in Consul and the volumes on the hosts; those removed, nothing", async () => {
    await nomad("job", "stop", "-purge", "-detach", JOB);
    const keys = async (): Promise<string[]> => {
      const answer = await consul().request("/v1/kv/ibrl/?keys", {});
      return answer.status === 404 ? [] : ((await answer.json()) as string[]);
    };
    await eventually(async () => {
      expect(await instances(consul())).toEqual([]);
      for (const node of cluster.nodes) {
        expect(Object.keys(await node.consul.getJson<object>("/v1/agent/checks")).filter((id) => id.includes("ibrl"))).toEqual([]);
      }
      expect(processes()).toEqual([]);
      const left = await keys();
      expect(left.filter((key) => !key.endsWith("/proofs") && !key.startsWith("ibrl/v1/usage/dc1/"))).toEqual(NODES.map((name) => `ibrl/v1/pins/dc1/${name}`));
    }, LONG);
    for (const key of await keys()) await consul().request(`/v1/kv/${key}`, { method: "DELETE" });
    expect(await keys()).toEqual([]);
    await nomad("system", "gc");
    await eventually(async () => expect((await nomad("job", "status")).stdout).toContain("No running jobs"), LONG);
    expect(readdirSync(volume("state", 0))).not.toEqual([]);
  }, 200_000);

  test("the Docker job is one that Nomad takes; only the driver is missing here", async () => {
    const file = "nomad/sidecar-docker.nomad.hcl";
    await nomad("job", "validate", file);
    const { stdout } = await nomad("job", "plan", file);
    expect(stdout).toMatch(/Constraint "missing drivers": 2 nodes excluded/);
  }, 60_000);
});

test("the image holds what the package holds", () => {
  const { files } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { files: string[] };
  const copied = [...readFileSync(join(project, "nomad/Dockerfile"), "utf8").matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, from]) => (from as string).split(" "));
  expect(copied.sort()).toEqual([...files, "package.json", "package-lock.json", "LICENSE"].sort());
  const sent = [...readFileSync(join(project, ".dockerignore"), "utf8").matchAll(/^!(.+)$/gm)].map(([, path]) => path as string);
  expect(sent.sort()).toEqual(copied);
});

const withSystemd = existsSync("/usr/bin/systemd-analyze") ? test : test.skip;
withSystemd("systemd takes the unit, token and all", () => {
  const folder = mkdtempSync(join(tmpdir(), "ibrl-unit-"));
  try {
    // The program is not installed here.
    const unit = readFileSync(join(project, "nomad/hypercore-ibrl.service"), "utf8").replace("/usr/bin/hypercore", process.execPath).replace(/^#(?=Environment|LoadCredential)/gm, "");
    writeFileSync(join(folder, "hypercore-ibrl.service"), unit);
    expect(execFileSync("systemd-analyze", ["verify", "--man=no", join(folder, "hypercore-ibrl.service")], { encoding: "utf8", stdio: "pipe" })).toBe("");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
