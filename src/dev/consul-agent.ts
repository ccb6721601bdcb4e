/** A real Consul agent with production timings (never -dev: it gossips every 100 ms). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NodeSecurity } from "./consul-security.js";
import { ManagedService, type NodeHost } from "./managed-service.js";
import type { NodePorts } from "./ports.js";

export interface ConsulAgentSpec {
  nodeName: string;
  /** Bound for everything, bare. */
  address: string;
  ports: Pick<NodePorts, "consulHttp" | "consulDns" | "consulRpc" | "consulSerf">;
  /** Servers of the cluster where this agent is one of them, else null. */
  bootstrapExpect: number | null;
  /** Serf addresses (host:port) of the servers. */
  retryJoin: readonly string[];
  /** 32 bytes, base64: a cluster of its own cannot be joined by mistake. */
  gossipKey: string;
  datacenter: string;
  ui: boolean;
  binary: string;
  folder: string;
  host: NodeHost;
  /** Then HTTPS takes the place of HTTP, on the same port. */
  security?: NodeSecurity;
  /** Merged over the generated configuration, a level deep: `{ acl: { enabled: true } }`. */
  extraConfig?: Readonly<Record<string, unknown>>;
}

export class ConsulAgent extends ManagedService {
  readonly nodeName: string;
  readonly httpAddr: string;
  /** For `dig -p`. TCP and UDP, at `address`. */
  readonly dnsPort: number;
  readonly address: string;
  readonly isServer: boolean;

  constructor(private readonly spec: ConsulAgentSpec) {
    const configFile = join(spec.folder, "config.json");
    super({
      name: `consul ${spec.nodeName}`,
      folder: spec.folder,
      host: spec.host,
      command: () => [spec.binary, "agent", "-config-file", configFile],
      ...(spec.security && { access: spec.security.access }),
    });
    this.nodeName = spec.nodeName;
    this.address = spec.address;
    this.httpAddr = `${spec.address}:${spec.ports.consulHttp}`;
    this.dnsPort = spec.ports.consulDns;
    this.isServer = spec.bootstrapExpect !== null;
  }

  /**
   * There is a leader, and the catalog has this node under its present ID (a wiped agent makes a new one, which is
   * accepted once the old one counts as failed). With ACLs and no token the leader is enough: it alone needs none.
   */
  protected async isReady(signal: AbortSignal): Promise<boolean> {
    if ((await this.getJson<string>("/v1/status/leader", signal)) === "") return false;
    if (this.spec.extraConfig?.["acl"] !== undefined && this.spec.security === undefined) return true;
    const self = await this.getJson<{ Config: { NodeID: string } }>("/v1/agent/self", signal);
    const known = await this.getJson<{ Node: { ID: string } } | null>(`/v1/catalog/node/${this.nodeName}`, signal);
    return known?.Node.ID === self.Config.NodeID;
  }

  protected async configure(): Promise<void> {
    await writeFile(join(this.spec.folder, "config.json"), JSON.stringify(this.#config(), null, 2), { mode: 0o600 });
  }

  #config(): Record<string, unknown> {
    const { address, ports, bootstrapExpect, security, extraConfig = {} } = this.spec;
    const config: Record<string, unknown> = {
      node_name: this.nodeName,
      datacenter: this.spec.datacenter,
      data_dir: this.dataFolder,
      server: this.isServer,
      ...(bootstrapExpect !== null && { bootstrap_expect: bootstrapExpect }),
      bind_addr: address,
      client_addr: address,
      ports: {
        ...(security === undefined ? { http: ports.consulHttp } : { http: -1, https: ports.consulHttp }),
        dns: ports.consulDns,
        server: ports.consulRpc,
        serf_lan: ports.consulSerf,
        serf_wan: -1,
        grpc: -1,
        grpc_tls: -1,
      },
      encrypt: this.spec.gossipKey,
      retry_join: this.spec.retryJoin,
      retry_interval: "1s",
      // The fastest that Consul calls production; the default of 5 makes elections and failure detection five times slower.
      performance: { raft_multiplier: 1, leave_drain_time: "500ms" },
      leave_on_terminate: true,
      ui_config: { enabled: this.spec.ui },
      disable_update_check: true,
      ...security?.agentConfig,
    };
    for (const [key, value] of Object.entries(extraConfig)) {
      config[key] = isObject(value) && isObject(config[key]) ? { ...config[key], ...value } : value;
    }
    return config;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
