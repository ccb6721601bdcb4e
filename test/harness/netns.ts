/**
 * A network of namespaces for fault tests: a hub with a bridge, and one namespace for each node, where links can be
 * cut, packets dropped (iptables) or held up (a wire of our own), and rates limited (tc tbf). By root, or by anybody in a user namespace (`unshare -Urn`).
 *
 *   node 1 (10.77.0.1, eth0) ──┐
 *   node 2 (10.77.0.2, eth0) ──┤ br0 in the hub; none of it is seen by, or reaches, the machine's own network
 *
 * Namespaces have no names: each lives as long as the process that holds it, so killing the run removes the network.
 */
import { execFile } from "node:child_process";
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Placement } from "../../src/dev/cluster-nodes.js";
import { ManagedProcess } from "../../src/dev/managed-process.js";
import { waitFor } from "../../src/dev/readiness.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { NamespaceRelay } from "./netns-relay.js";

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
/** As root the user namespace stays: mounts and control groups go on working for Nomad. */
const UNSHARE = isRoot ? ["unshare", "-n"] : ["unshare", "-Urn"];

/** Why namespaces cannot be used here; null where they can. `tools` are programs that the test needs besides `ip`. */
export async function whyNoNamespaces(...tools: ("iptables" | "tc")[]): Promise<string | null> {
  if (process.platform !== "linux") return `network namespaces are Linux's; this is ${process.platform}`;
  const script = ["ip link add ns-try type bridge", ...tools.map((tool) => (tool === "tc" ? "tc qdisc show dev lo" : "iptables -S"))].join(" && ");
  try {
    await run(UNSHARE[0] as string, [...UNSHARE.slice(1), "sh", "-c", script], { env: toolEnvironment("/tmp") });
    return null;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return `network namespaces cannot be used here: ${(stderr || message).trim()}`;
  }
}

export class Namespace {
  readonly #relay: NamespaceRelay;

  constructor(
    readonly address: string,
    /** Its end in the hub. */
    private readonly port: string,
    private readonly hub: readonly string[],
    /** Put before a command, runs it inside. */
    readonly prefix: readonly string[],
    private readonly folder: RunFolder,
  ) {
    this.#relay = new NamespaceRelay(prefix, join(folder.path, `relay-${port}`), folder);
  }

  /** For `startLocalCluster({ placement })`. */
  get placement(): Placement {
    return { address: this.address, prefix: this.prefix, forward: (address) => this.#relay.forward(address) };
  }

  /** A program that runs inside until it is stopped, or with the run. */
  async start(name: string, command: string, ...args: string[]): Promise<ManagedProcess> {
    const [program = command, ...rest] = [...this.prefix, command, ...args];
    const { folder } = this;
    const started = new ManagedProcess({ name, command: program, args: rest, env: process.env, cwd: folder.path, logFile: join(folder.path, `${name}.log`), run: folder });
    await started.start();
    return started;
  }

  /** A loopback address (host:port) outside that leads to a TCP port inside; for gRPC clients and the CLI. */
  forward(port: number, address: string = this.address): Promise<string> {
    return this.#relay.forward(`${address}:${port}`);
  }

  /** stdout of a program run inside. Rejects with its stderr. */
  async exec(command: string, ...args: string[]): Promise<string> {
    return execIn(this.prefix, [command, ...args], this.folder);
  }

  /** Partition: the link is down on the hub's side, so that the node keeps its address and routes. */
  async cut(): Promise<void> {
    await execIn(this.hub, ["ip", "link", "set", this.port, "down"], this.folder);
  }

  async heal(): Promise<void> {
    await execIn(this.hub, ["ip", "link", "set", this.port, "up"], this.folder);
  }

  /** Drops this share (0..1) of the packets that arrive, at random; 0 ends it. Needs iptables. */
  async loseIncoming(lossRatio: number): Promise<void> {
    await this.exec("iptables", "-F", "INPUT");
    if (lossRatio === 0) return;
    const rule = ["-i", "eth0", "-m", "statistic", "--mode", "random", "--probability", String(lossRatio), "-j", "DROP"];
    await this.exec("iptables", "-A", "INPUT", ...rule);
  }

  /** Limits what it sends (tc tbf); null ends it. Needs tc. */
  async limitOutgoing(bitsPerSecond: number | null): Promise<void> {
    if (bitsPerSecond === null) await this.exec("tc", "qdisc", "del", "dev", "eth0", "root");
    else await this.exec("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", `${bitsPerSecond}bit`, "burst", "16kb", "latency", "400ms");
  }

  /**
   * Puts a wire into its link that, when told so, loses this share (0..1) of all frames and holds up each for up to `jitterMs`,
   * both ways; clean at first. It stays as long as the network. Needs a C compiler and /dev/net/tun.
   */
  async lossyWire({ lossRatio, jitterMs }: { lossRatio: number; jitterMs: number }): Promise<{ bad(): void; clean(): void }> {
    const { folder, hub, port } = this;
    const [program, near, far, bridge] = [join(folder.path, `wire-${port}`), `near-${port}`, `far-${port}`, `br-${port}`];
    await run("cc", ["-O2", "-Wall", "-Werror", "-o", program, join(process.cwd(), "test/harness/lossy-wire.c")]);
    const [command = program, ...args] = [...hub, program, near, far, String(100 * lossRatio), String(jitterMs)];
    const wire = new ManagedProcess({ name: `wire of ${port}`, command, args, env: process.env, cwd: folder.path, logFile: join(folder.path, `wire-${port}.log`), run: folder });
    await wire.start();
    await waitFor("wire", () => (wire.tail(1).includes("ready") ? true : undefined), { timeoutMs: 10_000, everyMs: 20, process: wire });
    await execIn(hub, ["ip", "link", "add", bridge, "type", "bridge"], folder);
    for (const [device, master] of [[near, bridge], [far, "br0"], [port, bridge]] as const) await execIn(hub, ["ip", "link", "set", device, "master", master, "up"], folder);
    await execIn(hub, ["ip", "link", "set", bridge, "up"], folder);
    return { bad: () => wire.kill("SIGUSR1"), clean: () => wire.kill("SIGUSR2") };
  }

  /** Ends the forwarding; called by NamespaceNetwork. */
  close(): void {
    this.#relay.close();
  }
}

export class NamespaceNetwork {
  private constructor(
    readonly nodes: Namespace[],
    private readonly folder: RunFolder,
  ) {}

  /** Processes and files go to `folder`, whose removal ends the rest. Takes 1 to 50 nodes. */
  static async create(nodes: number, folder: RunFolder): Promise<NamespaceNetwork> {
    const hub = await holdNamespace("hub", UNSHARE, folder);
    await execIn(hub.prefix, ["ip", "link", "add", "br0", "type", "bridge"], folder);
    await execIn(hub.prefix, ["ip", "link", "set", "br0", "up"], folder);
    const made: Namespace[] = [];
    for (let i = 1; i <= nodes; i += 1) made.push(await addNode(i, hub.prefix, folder));
    return new NamespaceNetwork(made, folder);
  }

  /** Ends every process of the folder, with which the namespaces go, and removes it. */
  async remove(): Promise<void> {
    for (const node of this.nodes) node.close();
    await this.folder.remove();
  }
}

async function addNode(i: number, hub: readonly string[], folder: RunFolder): Promise<Namespace> {
  const address = `10.77.0.${i}`;
  const port = `port${i}`;
  // Inside the hub's user namespace, so no -U of its own.
  const { pid, prefix } = await holdNamespace(`node${i}`, [...hub, "unshare", "-n"], folder);
  await execIn(hub, ["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", String(pid)], folder);
  await execIn(hub, ["ip", "link", "set", port, "master", "br0", "up"], folder);
  await execIn(prefix, ["ip", "addr", "add", `${address}/24`, "dev", "eth0"], folder);
  await execIn(prefix, ["ip", "link", "set", "lo", "up"], folder);
  await execIn(prefix, ["ip", "link", "set", "eth0", "up"], folder);
  return new Namespace(address, port, hub, prefix, folder);
}

/** A sleeping process in a new namespace, and what enters it. */
async function holdNamespace(name: string, unshare: readonly string[], folder: RunFolder): Promise<{ pid: number; prefix: string[] }> {
  const [command = "unshare", ...args]: readonly string[] = [...unshare, "sleep", "infinity"];
  const holder = new ManagedProcess({
    name: `namespace ${name}`,
    command,
    args,
    env: process.env,
    cwd: folder.path,
    logFile: join(folder.path, `${name}.log`),
    run: folder,
  });
  await holder.start();
  const pid = holder.pid as number;
  const enter = ["nsenter", "-t", String(pid), ...(isRoot ? [] : ["-U", "--preserve-credentials"]), "-n", "--"];
  // nsenter(1) and unshare(1) replace themselves, in the end by `sleep`: only then are the namespace and its user map complete.
  const sleeps = (): true | undefined => (/\/(unshare|nsenter)$/.test(readlinkSync(`/proc/${pid}/exe`)) ? undefined : true);
  await waitFor(`namespace ${name}`, sleeps, { timeoutMs: 10_000, everyMs: 10, process: holder });
  return { pid, prefix: enter };
}

async function execIn(prefix: readonly string[], command: readonly string[], folder: RunFolder): Promise<string> {
  const [program = "", ...args] = [...prefix, ...command];
  const { stdout } = await run(program, args, { env: toolEnvironment(folder.path) });
  return stdout;
}

/** Administrators' folders are not on everybody's PATH; iptables' lock is root's unless it is told another. */
function toolEnvironment(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, XTABLES_LOCKFILE: join(folder, "xtables.lock") };
}
