/**
 * A real Nomad agent, server, client or both, that runs unprivileged and beside others on one machine
 * (which is what each unusual setting is for). Not the machine's own: it never joins one.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HttpsAccess } from "./https-access.js";
import { ManagedService, type NodeHost } from "./managed-service.js";
import { cgroupParent } from "./nomad-leftovers.js";
import type { NodePorts } from "./ports.js";

export interface NomadAgentSpec {
  nodeName: string;
  address: string;
  ports: Pick<NodePorts, "nomadHttp" | "nomadRpc" | "nomadSerf" | "nomadDynamic">;
  /** Servers of the cluster where this agent is one of them, else null. */
  bootstrapExpect: number | null;
  client: boolean;
  /** Serf addresses of the servers (for servers) and their RPC addresses (for clients). */
  serverSerf: readonly string[];
  serverRpc: readonly string[];
  /** Its block of this name: the address (host:port) of the Consul agent beside it, and how to ask it. */
  consul: Readonly<Record<string, unknown>>;
  datacenter: string;
  binary: string;
  folder: string;
  host: NodeHost;
  /** What the exec driver's tasks see (exec-chroot.ts); Nomad's default where undefined. */
  chroot?: Readonly<Record<string, string>>;
  /** A second configuration file, in Nomad's JSON, which Nomad merges over the generated one. */
  extraConfig?: Readonly<Record<string, unknown>>;
  /** Where that has its HTTP take TLS. */
  access?: HttpsAccess;
}

export class NomadAgent extends ManagedService {
  readonly nodeName: string;
  readonly httpAddr: string;
  readonly isServer: boolean;

  constructor(private readonly spec: NomadAgentSpec) {
    const files = ["config.json", "extra.json"].flatMap((file) => ["-config", join(spec.folder, file)]);
    super({
      name: `nomad ${spec.nodeName}`,
      folder: spec.folder,
      host: spec.host,
      command: () => [spec.binary, "agent", ...files],
      ...(spec.access && { access: spec.access }),
    });
    this.nodeName = spec.nodeName;
    this.httpAddr = `${spec.address}:${spec.ports.nomadHttp}`;
    this.isServer = spec.bootstrapExpect !== null;
  }

  /** A server: there is a leader. A client: its own node is ready in the servers' eyes. */
  protected async isReady(signal: AbortSignal): Promise<boolean> {
    if ((await this.getJson<string>("/v1/status/leader", signal)) === "") return false;
    if (!this.spec.client) return true;
    // With ACLs the list of nodes takes a token, which nobody has before the first start.
    if (this.spec.extraConfig?.["acl"] !== undefined) {
      const { client } = await this.getJson<{ client: { ok: boolean } }>("/v1/agent/health?type=client", signal);
      return client.ok;
    }
    const nodes = await this.getJson<{ Name: string; Status: string }[]>("/v1/nodes", signal);
    return nodes.some(({ Name, Status }) => Name === this.nodeName && Status === "ready");
  }

  protected async configure(): Promise<void> {
    const { folder, extraConfig = {} } = this.spec;
    await writeFile(join(folder, "config.json"), JSON.stringify(this.#config(), null, 2), { mode: 0o600 });
    await writeFile(join(folder, "extra.json"), JSON.stringify(extraConfig), { mode: 0o600 });
  }

  #config(): Record<string, unknown> {
    const { address, ports, bootstrapExpect, client, serverSerf, serverRpc } = this.spec;
    return {
      name: this.nodeName,
      datacenter: this.spec.datacenter,
      data_dir: this.dataFolder,
      bind_addr: address,
      advertise: { http: address, rpc: address, serf: address },
      ports: { http: ports.nomadHttp, rpc: ports.nomadRpc, serf: ports.nomadSerf },
      disable_update_check: true,
      // Without it a client measures no CPU and no memory of its tasks, and its API says so of none (1.10.5).
      telemetry: { publish_allocation_metrics: true },
      consul: this.spec.consul,
      server: {
        enabled: bootstrapExpect !== null,
        ...(bootstrapExpect !== null && { bootstrap_expect: bootstrapExpect, raft_multiplier: 1 }),
        server_join: { retry_join: serverSerf, retry_interval: "1s" },
      },
      client: {
        enabled: client,
        servers: serverRpc,
        network_interface: process.platform === "linux" ? "lo" : "lo0",
        min_dynamic_port: ports.nomadDynamic.from,
        max_dynamic_port: ports.nomadDynamic.to,
        // Version 2 of control groups: shared with no other Nomad, and removed with the run.
        cgroup_parent: cgroupParent(this.spec.host.run.path, this.nodeName),
        ...(this.spec.chroot !== undefined && { chroot_env: this.spec.chroot }),
        // Cloud fingerprinters wait for metadata services; the AWS one ends the agent where AWS_CA_BUNDLE is set.
        // A Nomad built from source has a driver for its own tests.
        options: { "fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean", "driver.denylist": "mock_driver" },
      },
      plugin: { raw_exec: { config: { enabled: true } } },
    };
  }
}
