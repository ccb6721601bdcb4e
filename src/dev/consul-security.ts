/**
 * A local cluster's Consul as operators should run it: ACLs that deny by default with a token for each agent and each
 * sidecar, TLS both ways on RPC and HTTPS (certificates by `consul tls`), no plain HTTP. Gossip is always encrypted.
 * What the rules are is the caller's; the tokens' secrets are made here, and stand in files that only this user reads.
 *
 *   create: CA, the clients' certificate → issue: each agent's → servers start → provision: policies, tokens → the rest
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ConsulAgent } from "./consul-agent.js";
import type { HttpsAccess } from "./https-access.js";

/** HCL of Consul ACL policies. */
export interface ConsulRules {
  /** Of the token of the sidecar beside a node. */
  sidecar(node: string, datacenter: string): string;
  /** Of the token that reads the cluster straight from Consul. */
  reader: string;
}

/** What one node's programs need. */
export interface NodeSecurity {
  /** Further configuration of the agent. */
  agentConfig: Readonly<Record<string, unknown>>;
  /** With the management token. */
  access: HttpsAccess;
  /** CONSUL_* of the sidecar beside it, its address aside. */
  sidecarEnv: Readonly<Record<string, string>>;
  /** The `consul` block of the Nomad agent beside it, its address aside. */
  nomadConsul: Readonly<Record<string, unknown>>;
}

interface NodeTokens {
  agent: string;
  sidecar: string;
}

/** What DNS may answer from, and a Nomad agent may do, here: all services and nodes. Not what IBRL needs. */
const DNS_RULES = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }';
const NOMAD_RULES = `${DNS_RULES} agent_prefix "" { policy = "read" } service_prefix "" { policy = "write" } key_prefix "" { policy = "read" }`;

export class ConsulSecurity {
  readonly #tokens = new Map<string, NodeTokens>();
  readonly #shared = { management: randomUUID(), reader: randomUUID(), dns: randomUUID(), nomad: randomUUID() };

  private constructor(
    private readonly binary: string,
    private readonly folder: string,
    private readonly datacenter: string,
    private readonly rules: ConsulRules,
  ) {}

  /** Makes the certificate authority in `folder`. */
  static async create(binary: string, folder: string, datacenter: string, rules: ConsulRules): Promise<ConsulSecurity> {
    const security = new ConsulSecurity(binary, folder, datacenter, rules);
    await mkdir(folder, { mode: 0o700 });
    await security.#consul(folder, "tls", "ca", "create");
    await security.#consul(folder, "tls", "cert", "create", "-cli");
    await writeFile(security.#file("reader.token"), security.#shared.reader, { mode: 0o600 });
    return security;
  }

  /** Certificate and tokens of a node; the tokens are good once they were provisioned. */
  async issue(node: string, address: string, isServer: boolean): Promise<NodeSecurity> {
    const tokens = { agent: randomUUID(), sidecar: randomUUID() };
    this.#tokens.set(node, tokens);
    await mkdir(this.#file(node), { mode: 0o700 });
    const kind = isServer ? "server" : "client";
    const authority = ["-ca", this.#file("consul-agent-ca.pem"), "-key", this.#file("consul-agent-ca-key.pem")];
    await this.#consul(this.#file(node), "tls", "cert", "create", `-${kind}`, "-dc", this.datacenter, `-additional-ipaddress=${address}`, ...authority);
    await writeFile(this.tokenFile(node), tokens.sidecar, { mode: 0o600 });
    const pem = (suffix: string): string => join(this.#file(node), `${this.datacenter}-${kind}-consul-0${suffix}.pem`);
    return {
      agentConfig: {
        acl: {
          enabled: true,
          default_policy: "deny",
          enable_key_list_policy: true,
          tokens: { agent: tokens.agent, dns: this.#shared.dns, ...(isServer && { initial_management: this.#shared.management }) },
        },
        tls: {
          defaults: { ca_file: this.#file("consul-agent-ca.pem"), cert_file: pem(""), key_file: pem("-key"), verify_incoming: true, verify_outgoing: true },
          internal_rpc: { verify_server_hostname: true },
        },
      },
      access: await this.#access(),
      sidecarEnv: { ...this.#clientEnv, CONSUL_HTTP_TOKEN_FILE: this.tokenFile(node) },
      nomadConsul: {
        ssl: true,
        ca_file: this.#clientEnv["CONSUL_CACERT"],
        cert_file: this.#clientEnv["CONSUL_CLIENT_CERT"],
        key_file: this.#clientEnv["CONSUL_CLIENT_KEY"],
        token: this.#shared.nomad,
      },
    };
  }

  /** CONSUL_* of a program that reads the cluster, its address aside. */
  get readerEnv(): Record<string, string> {
    return { ...this.#clientEnv, CONSUL_HTTP_TOKEN_FILE: this.#file("reader.token") };
  }

  /** Holds the token of the sidecar beside the node. */
  tokenFile(node: string): string {
    return join(this.#file(node), "sidecar.token");
  }

  /** The name of the policy of the sidecar beside the node. */
  policyName(node: string): string {
    return `ibrl-sidecar-${node}`;
  }

  /** Policies and tokens, through a server that is ready; then the servers' agents are told their own, which they could not use before. */
  async provision(servers: readonly ConsulAgent[]): Promise<void> {
    const [server] = servers;
    if (server === undefined) throw new RangeError("a cluster without a server");
    const token = async (secret: string, name: string, rules: string): Promise<void> => {
      await put(server, "/v1/acl/policy", { Name: name, Rules: rules });
      await put(server, "/v1/acl/token", { SecretID: secret, Description: name, Policies: [{ Name: name }] });
    };
    await token(this.#shared.reader, "ibrl-reader", this.rules.reader);
    await token(this.#shared.dns, "dns", DNS_RULES);
    await token(this.#shared.nomad, "nomad", NOMAD_RULES);
    for (const [node, secrets] of this.#tokens) {
      await token(secrets.sidecar, this.policyName(node), this.rules.sidecar(node, this.datacenter));
      await put(server, "/v1/acl/token", { SecretID: secrets.agent, Description: `agent ${node}`, NodeIdentities: [{ NodeName: node, Datacenter: this.datacenter }] });
    }
    for (const agent of servers) await put(agent, "/v1/agent/token/agent", { Token: this.#tokens.get(agent.nodeName)?.agent });
  }

  get #clientEnv(): Record<string, string> {
    const client = `${this.datacenter}-cli-consul-0`;
    return {
      CONSUL_CACERT: this.#file("consul-agent-ca.pem"),
      CONSUL_CLIENT_CERT: this.#file(`${client}.pem`),
      CONSUL_CLIENT_KEY: this.#file(`${client}-key.pem`),
    };
  }

  async #access(): Promise<HttpsAccess> {
    const read = (variable: string): Promise<string> => readFile(this.#clientEnv[variable] ?? "", "utf8");
    const [ca, cert, key] = await Promise.all([read("CONSUL_CACERT"), read("CONSUL_CLIENT_CERT"), read("CONSUL_CLIENT_KEY")]);
    return { ca, cert, key, token: this.#shared.management };
  }

  #file(name: string): string {
    return join(this.folder, name);
  }

  /** The program writes its files, keys 0600, to where it runs. */
  async #consul(cwd: string, ...args: string[]): Promise<void> {
    await promisify(execFile)(this.binary, args, { cwd, env: {} });
  }
}

async function put(agent: ConsulAgent, path: string, body: unknown): Promise<void> {
  const response = await agent.request(path, { method: "PUT", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}
