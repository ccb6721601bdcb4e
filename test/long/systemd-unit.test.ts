/**
 * nomad/hypercore-ibrl.service under systemd as the first process: set up as its head says, with a token that systemd hands over, on a
 * Consul with ACLs; its limits and rights, a crash, a boot, and its end.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { builtProject } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { addNode, makeDebianTree, whyNoDebianTree } from "../harness/debian-tree.js";
import { NamespaceNetwork } from "../harness/netns.js";
import { beaconIn, type Instance } from "../harness/observe.js";
import { SystemdHost, whyNoSystemdHost } from "../harness/systemd-host.js";

const run = promisify(execFile);
const UNIT = "hypercore-ibrl";
const USER = "hypercore-ibrl";
const TOKEN = randomUUID();
/** Stands for /dev/kvm: a device that everybody may open, and that systemd does not let through by itself. */
const DEVICE = "/dev/fuse";
const WITHIN = { timeoutMs: 60_000, everyMs: 250 };
const project = builtProject();
let folder: RunFolder;
let network: NamespaceNetwork;
let cluster: LocalCluster;
let root = "";
let host: SystemdHost;

const why = (await whyNoSystemdHost()) ?? (await whyNoDebianTree());
const here = why === null ? describe : describe.skip;
here(`the unit under systemd${why === null ? "" : ` (not run here: ${why})`}`, () => {
  beforeAll(async () => {
    folder = testRunFolder();
    root = join(folder.path, "root");
    await makeDebianTree(root, ["systemd", "nftables", "curl"]);
    await addNode(root, join(folder.path, "node"), { node: 22, npm: 10 });
    const packed = join(folder.path, "packed");
    mkdirSync(packed);
    await run("npm", ["pack", "--pack-destination", packed], { cwd: project });
    await run("npm", ["install", "--global", "--prefix", join(root, "usr"), "--omit=dev", "--no-audit", "--no-fund", ...readdirSync(packed).map((file) => join(packed, file))]);
    network = await NamespaceNetwork.create(1, folder);
    cluster = await startTestCluster({
      nodes: 1,
      sidecars: false,
      placement: () => network.nodes[0]!.placement,
      // The unit asks the agent at 127.0.0.1.
      consulConfig: () => ({ addresses: { http: `${network.nodes[0]!.address} 127.0.0.1` }, acl: { enabled: true, default_policy: "deny", tokens: { initial_management: TOKEN, agent: TOKEN } } }),
    });
    host = await SystemdHost.boot(root, network.nodes[0]!, folder);
  }, 400_000);
  afterAll(async () => {
    await host?.stop();
    await stopTestCluster(cluster);
    await network?.remove();
  }, 120_000);

  const unitFile = () => join(root, `etc/systemd/system/${UNIT}.service`);
  const shipped = () => readFileSync(join(project, "nomad/hypercore-ibrl.service"), "utf8");
  /** As it says: "where Consul has ACLs, take the # away". */
  const withToken = () => shipped().replace(/^#(?=Environment|LoadCredential)/gm, "");
  const show = async (property: string) => (await host.exec("systemctl", "show", "-P", property, UNIT)).trim();
  const log = () => host.exec("journalctl", "--unit", UNIT, "--output=cat", "--no-pager");

  async function instances(): Promise<Instance[]> {
    const address = await network.nodes[0]!.forward((cluster.nodes[0] as LocalNode).ports.consulHttp);
    const answer = await fetch(`http://${address}/v1/health/service/ibrl-beacon`, { headers: { "x-consul-token": TOKEN } });
    return (await answer.json()) as Instance[];
  }
  /** Its beacon in the catalog, passing and verified. */
  async function beacon() {
    const [instance = await Promise.reject(new Error("it is not in the catalog"))] = await instances();
    expect(instance.Checks.map(({ Status }) => Status)).not.toContain("critical");
    return beaconIn(instance);
  }
  /** Again there, as itself. */
  const goesOn = async ({ key, epoch }: { key: string; epoch: number }) => {
    await eventually(async () => {
      const now = await beacon();
      expect([now.key, now.epoch > epoch]).toEqual([key, true]);
    }, WITHIN);
    return beacon();
  };
  const metered = async () => /^hypercore_ibrl_traffic_metered (\d)$/m.exec(await host.exec("curl", "-sf", "http://127.0.0.1:8001/metrics"))?.[1];

  test("set up as its head says it starts, by a token that only root reads, and is in the catalog", async () => {
    writeFileSync(unitFile(), withToken());
    mkdirSync(join(root, "etc/hypercore-ibrl"), { mode: 0o700 });
    writeFileSync(join(root, "etc/hypercore-ibrl/consul-token"), TOKEN, { mode: 0o400 });
    if (existsSync(DEVICE)) await host.exec("sh", "-c", `mknod --mode=666 /dev/kvm c ${(await run("stat", ["-c", "0x%t 0x%T", DEVICE])).stdout}`);
    const commands = [...shipped().matchAll(/^# {3}(useradd .+|systemctl .+)$/gm)].map(([, command]) => command as string);
    expect(commands).toHaveLength(2);
    for (const command of commands) await host.exec("sh", "-ec", command);
    const { capabilities } = await eventually(beacon, WITHIN);
    if (existsSync(DEVICE)) expect(capabilities).toContain("kvm");
    expect([await show("ActiveState"), await show("NRestarts")]).toEqual(["active", "0"]);
    // nft is there, and the right to use it is not.
    expect((await log()).split("\n").filter((line) => /"level":"(warn|error|fatal)"/.test(line))).toEqual([expect.stringContaining('"dependency":"traffic meter"') as string]);
    expect(await metered()).toBe("0");
  }, 120_000);

  test("it has no right, the folder that it needs, and what memory it may have", async () => {
    const pid = await show("MainPID");
    const status = Object.fromEntries((await host.exec("cat", `/proc/${pid}/status`)).split("\n").map((line) => line.split(":\t") as [string, string]));
    const id = (await host.exec("id", "-u", USER)).trim();
    expect(id).not.toBe("0");
    expect(status).toMatchObject({ Uid: Array(4).fill(id).join("\t"), CapPrm: "0".repeat(16), CapBnd: "0".repeat(16), CapAmb: "0".repeat(16), NoNewPrivs: "1", Seccomp: "2" });
    expect((await host.exec("stat", "-c", "%U %a", "/var/lib/hypercore-ibrl", "/var/lib/hypercore-ibrl/identity.pem")).trim().split("\n")).toEqual([`${USER} 700`, `${USER} 600`]);
    const path = await show("ControlGroup");
    const limits = [`/sys/fs/cgroup${path}/memory.max`, `/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`];
    expect((await host.exec("sh", "-c", `cat ${limits.join(" ")} 2>/dev/null || true`)).trim()).toBe(String(512 * 1024 * 1024));
    // In its own view of the files: nothing but its folder can be written, and no home can be read.
    const inside = (script: string) => host.exec("nsenter", "-t", pid, "-m", "sh", "-c", script);
    expect((await inside("touch /usr/x /etc/x /var/x 2>&1 | grep -c 'Read-only file system'")).trim()).toBe("3");
    expect((await inside("ls -A /root /home; touch /var/lib/hypercore-ibrl/x && rm /var/lib/hypercore-ibrl/x")).trim()).toBe("/home:\n\n/root:");
  }, 60_000);

  test("killed it is started again, and so it is by a boot; it keeps its key and counts on", async () => {
    let before = await beacon();
    await host.exec("systemctl", "kill", "--signal=KILL", UNIT);
    before = await goesOn(before);
    expect(await show("NRestarts")).toBe("1");
    await host.stop();
    host = await SystemdHost.boot(root, network.nodes[0]!, folder);
    await goesOn(before);
    expect([await show("ActiveState"), await show("NRestarts")]).toEqual(["active", "0"]);
  }, 180_000);

  test("with the two lines that it names it counts, and has that one right", async () => {
    const [, bounding = "", ambient = ""] = /^# {3}(CapabilityBoundingSet=CAP_NET_ADMIN)\n# {3}(AmbientCapabilities=CAP_NET_ADMIN)$/m.exec(shipped()) ?? [];
    writeFileSync(unitFile(), withToken().replace(/^CapabilityBoundingSet=$/m, `${bounding}\n${ambient}`));
    await host.exec("systemctl", "daemon-reload");
    await host.exec("systemctl", "restart", UNIT);
    await eventually(async () => expect(await metered()).toBe("1"), WITHIN);
    const status = await host.exec("cat", `/proc/${await show("MainPID")}/status`);
    expect(/^CapEff:\t(\w+)$/m.exec(status)?.[1]).toBe((1 << 12).toString(16).padStart(16, "0"));
  }, 120_000);

  test("stopped it has left Consul, in good order and in the time that it has", async () => {
    await host.exec("systemctl", "disable", "--now", UNIT);
    expect(await instances()).toEqual([]);
    expect([await show("ActiveState"), await show("Result"), await show("ExecMainStatus")]).toEqual(["inactive", "success", "0"]);
    expect(existsSync(join(root, "var/lib/hypercore-ibrl/identity.pem"))).toBe(true);
  }, 60_000);
});
