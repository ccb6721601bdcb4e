/**
 * A cluster of real Consul agents on this machine, with a sidecar beside each and Nomad where wanted: what
 * `hypercore dev` runs and what the tests run on. It uses no Consul or Nomad that is already there, and leaves nothing.
 *
 *   ports reserved → folder → Consul agents (secured: servers, tokens, clients) → Nomad agents and sidecars → all ready
 *   any failure, abort or stop(): sidecars by SIGTERM → everything else by SIGKILL → folder removed → ports released
 */
import { join } from "node:path";
import { type Binary, findBinary } from "./binaries.js";
import { ConsulSecurity } from "./consul-security.js";
import { assembleNodes, type LocalNode, type NodeSettings } from "./cluster-nodes.js";
export { type LocalNode, withoutClusterVariables } from "./cluster-nodes.js";
import type { ConsulAgent } from "./consul-agent.js";
import { execChroot } from "./exec-chroot.js";
import type { ManagedService } from "./managed-service.js";
import { type Addressing, defaultAddressing, nodeEndpoints, type PortSet, reservePorts } from "./ports.js";
import type { Progress } from "./progress.js";
import { RunFolder } from "./run-folder.js";

export interface LocalClusterOptions extends NodeSettings {
  nodes: number;
  /** Unused where `placement` is given: each node then has the default ports at its own address. */
  addressing?: Addressing;
  /** Default 0: the well-known ports, if free. */
  firstShift?: number;
  folderPrefix?: string;
  env: NodeJS.ProcessEnv;
  progress: Progress;
  /** Aborting it while the cluster starts takes it down again; afterwards it has no effect. */
  signal?: AbortSignal;
}

export interface LocalCluster {
  nodes: LocalNode[];
  /** State folders and logs of all. */
  folder: string;
  /** 0: the well-known ports. Otherwise `taken` says what was in the way. */
  shift: number;
  taken: string[];
  consulBinary: Binary;
  /** Null where there is no Nomad. */
  nomadBinary: Binary | null;
  /** Null where Consul is not secured. */
  security: ConsulSecurity | null;
  /** CONSUL_HTTP_ADDR (and what else reading Consul takes), IBRL_GRPC_ADDR, IBRL_API_TOKEN_FILE, and NOMAD_ADDR where there is Nomad, for one node (the first by default). */
  environment(index?: number): Record<string, string>;
  /** Pids of the cluster that run. */
  survivors(): number[];
  /** Resolves when no process and no folder is left; the same for every call. `force` kills what is being waited for. */
  stop(options?: { force?: boolean }): Promise<void>;
}

export const DEV_FOLDER_PREFIX = "hypercore-dev";
const SIDECAR_GRACE_MS = 10_000;

/**
 * Resolves when every agent is in the catalog and every sidecar is ready. Rejects with DevError (see its codes) or the
 * signal's reason, leaving nothing behind.
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const { env, progress, signal, folderPrefix = DEV_FOLDER_PREFIX } = options;
  const binaryOptions = { env, progress, ...(signal && { signal }) };
  const consulBinary = await findBinary("consul", binaryOptions);
  const nomadBinary = options.nomad ? await findBinary("nomad", binaryOptions) : null;
  // Before the ports: what an earlier run left may hold them.
  for (const folder of await RunFolder.cleanStale(folderPrefix)) progress.note(`Cleaned up after an earlier run: ${folder}`);
  const portSet = await choosePorts(options);
  const run = RunFolder.create(folderPrefix);
  let cluster: RunningCluster | undefined;
  try {
    const { secured, datacenter = "dc1" } = options;
    const security = secured === undefined ? null : await ConsulSecurity.create(consulBinary.path, join(run.path, "security"), datacenter, secured);
    const nodes = await assembleNodes(options, {
      endpoints: portSet.endpoints,
      run,
      env,
      consulBinary: consulBinary.path,
      nomadBinary: nomadBinary?.path ?? null,
      // Only root has the exec driver.
      ...(nomadBinary !== null && process.platform === "linux" && process.geteuid?.() === 0 && { chroot: execChroot() }),
      security,
    });
    cluster = new RunningCluster(nodes, run, portSet, consulBinary, nomadBinary, security);
    await cluster.start(progress, signal);
    return cluster;
  } catch (error) {
    if (cluster !== undefined) await cluster.stop({ force: true });
    else await run.remove().finally(() => portSet.release());
    throw error;
  }
}

class RunningCluster implements LocalCluster {
  #stopping: Promise<void> | null = null;

  constructor(
    readonly nodes: LocalNode[],
    private readonly run: RunFolder,
    private readonly portSet: PortSet,
    readonly consulBinary: Binary,
    readonly nomadBinary: Binary | null,
    readonly security: ConsulSecurity | null,
  ) {}

  get folder(): string {
    return this.run.path;
  }

  get shift(): number {
    return this.portSet.shift;
  }

  get taken(): string[] {
    return this.portSet.taken;
  }

  /** Consul first: the others wait for it, so nothing starts by retrying. A sidecar takes Nomad whenever it appears. */
  async start(progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    const { security } = this;
    const agents = this.nodes.map(({ consul }) => consul);
    if (security === null) await this.#startKind("Consul agents", agents, progress, signal);
    else await this.#startSecured(security, agents, progress, signal);
    const nomads = this.nodes.flatMap(({ nomad }) => nomad ?? []);
    const sidecars = this.nodes.flatMap(({ sidecar }) => sidecar ?? []);
    const kinds = [nomads.length > 0 ? "Nomad agents" : "", sidecars.length > 0 ? "sidecars" : ""].filter((kind) => kind !== "");
    await this.#startKind(kinds.join(" and "), [...nomads, ...sidecars], progress, signal);
  }

  /** A client agent gets into the catalog by its token, which a leader must know. */
  async #startSecured(security: ConsulSecurity, agents: readonly ConsulAgent[], progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    const servers = agents.filter(({ isServer }) => isServer);
    await this.#startKind("Consul servers", servers, progress, signal);
    await security.provision(servers);
    await this.#startKind("Consul clients", agents.filter(({ isServer }) => !isServer), progress, signal);
  }

  async #startKind(title: string, services: readonly ManagedService[], progress: Progress, signal: AbortSignal | undefined): Promise<void> {
    if (services.length === 0) return;
    const step = progress.step(`Starting ${services.length} ${title}`);
    try {
      await startTogether(services, signal, (ready) => step.update(`${ready} ready`));
      step.done(`${services.length} ${title} ready`);
    } catch (error) {
      step.fail(`Starting the ${title} failed`);
      throw error;
    }
  }

  environment(index = 0): Record<string, string> {
    const node = this.nodes[index];
    if (!node) throw new RangeError(`The cluster has no node ${index}`);
    return {
      ...(this.security === null ? { CONSUL_HTTP_ADDR: node.consul.httpAddr } : { CONSUL_HTTP_ADDR: node.consul.httpUrl, ...this.security.readerEnv }),
      IBRL_GRPC_ADDR: `${node.address}:${node.ports.sidecarGrpc}`,
      ...(node.sidecar && { IBRL_API_TOKEN_FILE: node.sidecar.apiTokenFile }),
      ...(node.nomad && { NOMAD_ADDR: node.nomad.httpUrl }),
    };
  }

  survivors(): number[] {
    return this.run.survivors();
  }

  async stop({ force = false }: { force?: boolean } = {}): Promise<void> {
    this.#stopping ??= this.#stop();
    if (force) await this.run.endProcesses();
    await this.#stopping;
  }

  /** Agents do not leave in order: their data goes with them, and a leave takes some seconds. */
  async #stop(): Promise<void> {
    await Promise.all(this.nodes.map(async ({ sidecar }) => sidecar?.stop(SIDECAR_GRACE_MS)));
    await this.run.remove();
    this.portSet.release();
  }
}

/** The first failure ends the others' waiting; it is thrown once none of them can start anything more. */
async function startTogether(services: readonly ManagedService[], signal: AbortSignal | undefined, onReady: (ready: number) => void): Promise<void> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  let ready = 0;
  onReady(ready);
  await Promise.all(
    services.map(async (service) => {
      try {
        await service.start();
        await service.waitReady({ signal: either });
        onReady((ready += 1));
      } catch (error) {
        if (!either.aborted) failed.abort(error);
      }
    }),
  );
  either.throwIfAborted();
}

async function choosePorts({ nodes, addressing = defaultAddressing(), placement, firstShift = 0 }: LocalClusterOptions): Promise<PortSet> {
  if (!placement) return reservePorts(nodes, addressing, firstShift);
  const endpoints = nodeEndpoints(nodes, "addresses").map(({ ports }, index) => ({ ports, address: placement(index).address }));
  return { shift: 0, endpoints, taken: [], release: () => {} };
}
