/**
 * A service `web` on some nodes of a network of namespaces, each instance of which answers with its node's name, and
 * nomad/routing/tcp-proxy.mjs in front of it, in the first node's namespace.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { ManagedProcess } from "../../src/dev/managed-process.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { builtProject, plainEnvironment } from "./built-cli.js";
import type { Namespace } from "./netns.js";

const WEB_PORT = 8080;
const PROXY_PORT = 9000;

export class RoutedService {
  readonly #processes: ManagedProcess[] = [];
  #proxy: ManagedProcess | undefined;

  constructor(
    private readonly cluster: LocalCluster,
    private readonly namespaces: readonly Namespace[],
    private readonly folder: RunFolder,
  ) {}

  /** Runs it on the node and registers it there, passing until somebody says otherwise. */
  async run(node: LocalNode): Promise<void> {
    const program = `require("net").createServer((s) => s.end(${JSON.stringify(node.name)})).listen(${String(WEB_PORT)}, "${node.address}")`;
    await this.#start(`web on ${node.name}`, node.index, [process.execPath, "-e", program]);
    const body = JSON.stringify({ ID: "web", Name: "web", Port: WEB_PORT, Check: { CheckID: "web", TTL: "1h", Status: "passing" } });
    const { ok, status } = await node.consul.request("/v1/agent/service/register", { method: "PUT", body });
    if (!ok) throw new Error(`${node.name} did not take the service: ${String(status)}`);
  }

  /** The proxy, by this policy. */
  async route(policy: object): Promise<void> {
    const file = join(this.folder.path, "route-policy.json");
    writeFileSync(file, JSON.stringify(policy));
    const root = builtProject();
    const args = [join(root, "nomad/routing/tcp-proxy.mjs"), `127.0.0.1:${String(PROXY_PORT)}`, "web", file, "--interval", "1s"];
    this.#proxy = await this.#start("proxy", 0, [process.execPath, ...args], { ...this.cluster.environment(), HYPERCORE: `${process.execPath} ${join(root, "bin/run.js")}` });
  }

  /** The proxy's upstreams, as it said them last. */
  upstreams(): string[] {
    const last = this.#proxy?.tail(50).split("\n").findLast((line) => line.startsWith("upstreams: "));
    if (last === undefined) throw new Error(`the proxy has no upstreams yet: ${this.#proxy?.tail(5) ?? "it was not started"}`);
    return last.replace("upstreams: ", "").split(" ");
  }

  /** Who answers a new connection to the proxy. */
  async ask(): Promise<string> {
    const client = `require("net").connect(${String(PROXY_PORT)}, "127.0.0.1").on("error", () => {}).pipe(process.stdout)`;
    return (this.namespaces[0] as Namespace).exec(process.execPath, "-e", client);
  }

  /** `hypercore cluster route`, once, in the first node's namespace. Rejects with its stderr. */
  async once(service: string, policy: string): Promise<string> {
    const env = Object.entries(this.cluster.environment()).map(([name, value]) => `${name}=${value}`);
    const args = ["-u", "NODE_OPTIONS", ...env, process.execPath, join(builtProject(), "bin/run.js"), "cluster", "route", service, "--policy", policy];
    return (await (this.namespaces[0] as Namespace).exec("env", ...args)).trimEnd();
  }

  async stop(): Promise<void> {
    for (const process of this.#processes.splice(0).reverse()) await process.stop();
  }

  async #start(name: string, at: number, command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<ManagedProcess> {
    const [program, ...args] = [...(this.namespaces[at] as Namespace).prefix, ...command] as [string, ...string[]];
    const started = new ManagedProcess({
      name, command: program, args, env: plainEnvironment(env), cwd: this.folder.path, logFile: join(this.folder.path, `${name.replaceAll(" ", "-")}.log`), run: this.folder,
    });
    this.#processes.push(started);
    await started.start();
    return started;
  }
}
