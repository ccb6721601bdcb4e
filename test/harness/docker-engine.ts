/**
 * A Docker engine of a node's own, in the node's network namespace: dockerd with containerd, runc and the bridge `docker0`, away
 * from the machine's own Docker, interfaces and firewall. Root's only.
 *
 *   node's network namespace ─ mounts: `prefix`, where the node's Nomad runs ─ mounts and processes: dockerd and all containers
 *
 * dockerd is the first process of its namespace: whatever kills it ends every container, and the mounts go with them.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { execChroot } from "../../src/dev/exec-chroot.js";
import { ManagedProcess } from "../../src/dev/managed-process.js";
import { waitFor } from "../../src/dev/readiness.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { removeGroups, whyNoControlGroups } from "./control-groups.js";
import { type Namespace, whyNoNamespaces } from "./netns.js";

const run = promisify(execFile);
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** Null where one may be started. */
export async function whyNoDocker(): Promise<string | null> {
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return "Docker's engine needs root on Linux";
  for (const program of ["dockerd", "docker", "containerd", "runc"]) {
    const found = await run("sh", ["-c", `command -v ${program}`], { env: { PATH } }).catch(() => null);
    if (found === null) return `there is no program ${program}: apt-get install docker.io`;
  }
  return (await whyNoControlGroups()) ?? whyNoNamespaces("iptables");
}

/** Without a bridge an image is built by it, or run, on the network that it is in itself (`--network host`). */
const WITHOUT_BRIDGE = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"];

export class DockerEngine {
  private constructor(
    /** Put before the node's programs: what they mount, dockerd sees. */
    readonly prefix: readonly string[],
    /** "unix:///…", for Nomad's driver. */
    readonly endpoint: string,
    private readonly own: string,
    private readonly daemon: ManagedProcess,
    private readonly group: string,
  ) {}

  /** `namespace`: null for the machine's own network, where it makes no bridge and touches no firewall. */
  static async start(namespace: Namespace | null, folder: RunFolder): Promise<DockerEngine> {
    const name = `docker-${namespace?.address ?? "host"}`;
    const own = join(folder.path, name);
    mkdirSync(own, { mode: 0o700 });
    const group = `${basename(folder.path)}-${name}`;
    const endpoint = `unix://${join(own, "sock")}`;
    const prefix = await holdMounts(`mounts-of-${name}`, namespace, folder);
    const flags = [
      `--data-root=${join(own, "data")}`, `--exec-root=${join(own, "exec")}`, `--pidfile=${join(own, "pid")}`, `--host=${endpoint}`, `--cgroup-parent=/${group}`,
      ...(namespace === null ? WITHOUT_BRIDGE : []),
    ];
    // Its sockets in /run/containerd are nobody else's.
    const inside = `mount -t tmpfs run /run && exec dockerd ${flags.join(" ")}`;
    const [command = "", ...args]: readonly string[] = [...prefix, "unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation=slave", "--mount-proc", "sh", "-c", inside];
    const daemon = new ManagedProcess({ name, command, args, env: { ...process.env, PATH }, cwd: own, logFile: join(own, "log"), run: folder });
    await daemon.start();
    const engine = new DockerEngine(prefix, endpoint, own, daemon, group);
    await waitFor(name, async () => (await engine.docker("version")) && true, { timeoutMs: 60_000, everyMs: 200, process: daemon });
    return engine;
  }

  /** stdout of `docker …`. Rejects with its stderr. */
  async docker(...args: string[]): Promise<string> {
    // The older builder is the one that every release has: Debian's package brings no other.
    const { stdout } = await run("docker", ["--host", this.endpoint, ...args], { maxBuffer: 1 << 26, env: { ...process.env, PATH, DOCKER_BUILDKIT: "0" } });
    return stdout;
  }

  /** An image FROM scratch with these programs and their libraries. `changes`: instructions of a Dockerfile. */
  async makeImage(image: string, programs: readonly string[], changes: readonly string[]): Promise<void> {
    const root = join(this.own, "image");
    for (const [from, to] of Object.entries(execChroot(programs))) {
      mkdirSync(dirname(join(root, to)), { recursive: true });
      cpSync(from, join(root, to), { recursive: true, dereference: true });
    }
    const archive = `${root}.tar`;
    await run("tar", ["-C", root, "-cf", archive, "."]);
    await this.docker("import", ...changes.flatMap((change) => ["--change", change]), archive, image);
  }

  /** Ends every container with it. */
  async stop(): Promise<void> {
    this.daemon.kill("SIGKILL");
    await this.daemon.exited;
    await removeGroups(this.group);
  }
}

async function holdMounts(name: string, namespace: Namespace | null, folder: RunFolder): Promise<string[]> {
  const [command = "", ...args]: readonly string[] = [...(namespace?.prefix ?? []), "unshare", "--mount", "--propagation=private", "sh", "-c", "mount --make-rshared / && exec sleep infinity"];
  const holder = new ManagedProcess({ name, command, args, env: process.env, cwd: folder.path, logFile: join(folder.path, `${name}.log`), run: folder });
  await holder.start();
  const pid = holder.pid as number;
  await waitFor(name, () => readlinkSync(`/proc/${String(pid)}/exe`).endsWith("/sleep") || undefined, { timeoutMs: 10_000, everyMs: 10, process: holder });
  return ["nsenter", "-t", String(pid), "-n", "-m", `--wd=${folder.path}`, "--"];
}
