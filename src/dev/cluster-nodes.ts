/** The programs of each node of a local cluster, put together and not yet started. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { ConsulAgent } from "./consul-agent.js";
import type { ConsulRules, ConsulSecurity } from "./consul-security.js";
import type { HttpsAccess } from "./https-access.js";
import type { NodeHost } from "./managed-service.js";
import { NomadAgent } from "./nomad-agent.js";
import type { NodeEndpoints, NodePorts } from "./ports.js";
import type { RunFolder } from "./run-folder.js";
import { nodeEnvironment } from "./kill-node.js";
import { SidecarProcess } from "./sidecar-process.js";

/** Where a node lives when not on this machine's loopback. */
export interface Placement {
  /** Bare; local to where `prefix` runs its programs. */
  address: string;
  prefix?: readonly string[];
  forward?: (address: string) => Promise<string>;
}

/** Functions of a node get its index, from 0. */
export interface NodeSettings {
  /** Default 1. The first nodes are the servers. */
  servers?: 1 | 3;
  /** Default true. */
  sidecars?: boolean;
  /** Default false. A Nomad client beside each Consul agent, also a server where Consul is one. */
  nomad?: boolean;
  /** Consul with ACLs that deny by default, TLS, and these rules for the sidecars' and the reader's tokens. Default: neither. */
  secured?: ConsulRules;
  /** Default "dc1". */
  datacenter?: string;
  /** Default "node-1", "node-2", … */
  nodeName?: (index: number) => string;
  /** Merged a level deep over the agent's configuration. */
  consulConfig?: (index: number) => Readonly<Record<string, unknown>>;
  nomadConfig?: (index: number) => Readonly<Record<string, unknown>>;
  /** Where that has Nomad's HTTP take TLS. */
  nomadAccess?: HttpsAccess;
  /** Further flags and variables of `hypercore sidecar`. */
  sidecarArgs?: (index: number) => readonly string[];
  sidecarEnv?: (index: number) => Readonly<Record<string, string>>;
  /** bin/run.js of another version. */
  sidecarProgram?: (index: number) => string | undefined;
  placement?: (index: number) => Placement;
}

export interface LocalNode {
  /** From 0. */
  index: number;
  name: string;
  /** Bare. */
  address: string;
  ports: NodePorts;
  consul: ConsulAgent;
  nomad: NomadAgent | null;
  sidecar: SidecarProcess | null;
  /** CONSUL_* of a sidecar beside the agent. */
  sidecarEnv: Readonly<Record<string, string>>;
}

export interface NodeContext {
  endpoints: readonly NodeEndpoints[];
  run: RunFolder;
  /** Of this process; what points at other clusters is taken out. */
  env: NodeJS.ProcessEnv;
  consulBinary: string;
  nomadBinary: string | null;
  /** Of the exec driver's tasks. */
  chroot?: Readonly<Record<string, string>>;
  /** Where the cluster is secured. */
  security: ConsulSecurity | null;
}

/** raw_exec too: on one's own machine it is what runs without root. */
const DEV_DRIVERS = ["docker", "exec", "raw_exec", "java"].map((driver) => `--job-drivers=${driver}`);

export async function assembleNodes(settings: NodeSettings, context: NodeContext): Promise<LocalNode[]> {
  const gossipKey = randomBytes(32).toString("base64");
  return Promise.all(context.endpoints.map((_, index) => assembleNode(settings, context, index, gossipKey)));
}

/** What tools read to find a cluster, or the right to change one: never handed to programs of ours. */
export function withoutClusterVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(CONSUL|NOMAD|IBRL)_/.test(name)));
}

async function assembleNode(settings: NodeSettings, context: NodeContext, index: number, gossipKey: string): Promise<LocalNode> {
  const { endpoints, run, env, consulBinary, nomadBinary, chroot } = context;
  const { servers = 1, sidecars = true, datacenter = "dc1", nodeName, placement } = settings;
  const { address, ports } = endpoints[index] as NodeEndpoints;
  const name = nodeName?.(index) ?? `node-${index + 1}`;
  const folder = join(run.path, name);
  const { prefix, forward } = placement?.(index) ?? {};
  const host: NodeHost = { run, env: { ...withoutClusterVariables(env), ...nodeEnvironment(folder) }, ...(prefix && { prefix }), ...(forward && { forward }) };
  const serverNodes = endpoints.slice(0, servers);
  const serversAt = (port: "consulSerf" | "nomadRpc" | "nomadSerf"): string[] =>
    serverNodes.map((server) => `${server.address}:${server.ports[port]}`);
  const agent = {
    nodeName: name,
    address,
    ports,
    datacenter,
    host,
    bootstrapExpect: index < servers ? serverNodes.length : null,
  };

  const security = await context.security?.issue(name, address, index < servers);
  const consul = new ConsulAgent({
    ...agent,
    ...(security && { security }),
    folder: join(folder, "consul"),
    binary: consulBinary,
    retryJoin: serversAt("consulSerf"),
    gossipKey,
    ui: index === 0,
    extraConfig: settings.consulConfig?.(index) ?? {},
  });
  const nomad =
    nomadBinary === null
      ? null
      : new NomadAgent({
          ...agent,
          folder: join(folder, "nomad"),
          binary: nomadBinary,
          client: true,
          serverSerf: serversAt("nomadSerf"),
          serverRpc: serversAt("nomadRpc"),
          consul: { address: consul.httpAddr, ...security?.nomadConsul },
          ...(chroot && { chroot }),
          extraConfig: settings.nomadConfig?.(index) ?? {},
          ...(settings.nomadAccess && { access: settings.nomadAccess }),
        });
  const sidecarEnv = security === undefined ? {} : { CONSUL_HTTP_ADDR: consul.httpUrl, ...security.sidecarEnv };
  const program = settings.sidecarProgram?.(index);
  const sidecar = sidecars
    ? new SidecarProcess({
        ...agent,
        folder: join(folder, "sidecar"),
        consulAddr: consul.httpAddr,
        nomadAddr: `${address}:${ports.nomadHttp}`,
        // Every one places: the node that dies may be the one that was asked.
        args: [...(nomad === null ? [] : ["--placer", ...DEV_DRIVERS]), ...(settings.sidecarArgs?.(index) ?? [])],
        env: { ...sidecarEnv, ...settings.sidecarEnv?.(index) },
        ...(program !== undefined && { program }),
      })
    : null;
  return { index, name, address, ports, consul, nomad, sidecar, sidecarEnv };
}
