/**
 * A host that systemd runs: a Debian tree booted by systemd-nspawn in a node's network namespace, with processes, mounts and control
 * groups of its own. Root's only.
 */
import { execFile } from "node:child_process";
import { basename, join } from "node:path";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { ManagedProcess } from "../../src/dev/managed-process.js";
import { CGROUP_ROOT } from "../../src/dev/nomad-leftovers.js";
import { waitFor } from "../../src/dev/readiness.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { hierarchies, removeGroups, whyNoControlGroups } from "./control-groups.js";
import { type Namespace, whyNoNamespaces } from "./netns.js";

const run = promisify(execFile);

/** Null where one may be booted. */
export async function whyNoSystemdHost(): Promise<string | null> {
  if (process.geteuid?.() !== 0) return "systemd-nspawn needs root";
  const found = await run("sh", ["-c", "command -v systemd-nspawn"]).catch(() => null);
  if (found === null) return "there is no program systemd-nspawn: apt-get install systemd-container";
  return (await whyNoControlGroups()) ?? whyNoNamespaces();
}

export class SystemdHost {
  private constructor(
    private readonly nspawn: ManagedProcess,
    private readonly group: string,
    private readonly firstPid: number,
  ) {}

  /** `root`: the tree, which keeps what is written until the next boot. Resolves when all units of the boot have started. */
  static async boot(root: string, namespace: Namespace, folder: RunFolder): Promise<SystemdHost> {
    const name = `host-${namespace.address}`;
    const group = `${basename(folder.path)}-${name}`;
    // CAP_NET_ADMIN: systemd-nspawn keeps it back, and the network is this host's own.
    const flags = [`--directory=${root}`, "--boot", "--capability=CAP_NET_ADMIN", "--register=no", "--keep-unit", "--network-namespace-path=/proc/self/ns/net", "--console=pipe"];
    const script = [
      ...makeGroups(group).map((procs) => `echo $$ > ${procs}`),
      // systemd-nspawn leaves locks in /run; the machine's own stays as it is.
      `exec unshare --pid --fork --kill-child --mount --mount-proc sh -c 'mount -t tmpfs run /run && exec systemd-nspawn ${flags.join(" ")}'`,
    ].join("\n");
    const [command = "", ...args]: readonly string[] = [...namespace.prefix, "sh", "-ec", script];
    const nspawn = new ManagedProcess({ name, command, args, env: process.env, cwd: folder.path, logFile: join(folder.path, `${name}.log`), run: folder });
    await nspawn.start();
    const firstPid = await waitFor(`first process of ${name}`, () => firstProcess(nspawn.pid), { timeoutMs: 30_000, everyMs: 50, process: nspawn });
    const host = new SystemdHost(nspawn, group, firstPid);
    const isUp = async (): Promise<true | undefined> => ((await host.exec("systemctl", "is-system-running")).trim() === "running" ? true : undefined);
    await waitFor(`boot of ${name}`, isUp, { timeoutMs: 60_000, everyMs: 200, process: nspawn });
    await host.#takeControllers();
    return host;
  }

  /** stdout of a program run inside by root. Rejects with its stderr. */
  async exec(command: string, ...args: string[]): Promise<string> {
    const inside = ["-t", String(this.firstPid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", command, ...args];
    const { stdout } = await run("nsenter", inside, { env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin" }, maxBuffer: 1 << 24 });
    return stdout;
  }

  /** As by pulling the plug. */
  async stop(): Promise<void> {
    this.nspawn.kill("SIGKILL");
    await this.nspawn.exited;
    await removeGroups(this.group);
  }

  /** Of version 1 systemd-nspawn gives only the names; within the host's own groups there is no reason to keep these back. */
  async #takeControllers(): Promise<void> {
    const taken = ["memory", "devices"].filter((controller) => existsSync(join(CGROUP_ROOT, controller)));
    for (const controller of taken) await this.exec("mount", "-o", "remount,bind,rw", join(CGROUP_ROOT, controller));
    if (taken.length > 0) await this.exec("systemctl", "daemon-reexec");
  }
}

/** One in each hierarchy; answers with the files that take its processes. */
function makeGroups(group: string): string[] {
  return hierarchies().map((hierarchy) => {
    const path = join(hierarchy, group);
    mkdirSync(path);
    // Of version 1: no process may enter before they are set.
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (basename(hierarchy) === "cpuset") writeFileSync(join(path, file), readFileSync(join(hierarchy, file)));
    }
    return join(path, "cgroup.procs");
  });
}

/** unshare → systemd-nspawn → the host's first process, which has a control group of its own once it is systemd. */
function firstProcess(unshare: number | undefined): number | undefined {
  const [nspawn] = childrenOf(unshare);
  const [first] = childrenOf(nspawn);
  return first !== undefined && readFileSync(`/proc/${String(first)}/comm`, "utf8").trim() === "systemd" ? first : undefined;
}

function childrenOf(pid: number | undefined): number[] {
  if (pid === undefined) return [];
  return readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, "utf8").split(" ").filter((child) => child !== "").map(Number);
}
