/**
 * Which Nomad node is which Consul node: Nomad's clients carry the name of the Consul agent beside them. Nomad's list of
 * nodes has no attributes, so each node is read once and its name kept; who is chosen is read again.
 */
import type { NomadCallOptions, NomadNode } from "../nomad-api.js";
import type { NomadJobs } from "../nomad-jobs.js";

const AT_ONCE = 8;
const CONSUL_NAME = "unique.consul.name";

export class NomadNodes {
  /** By Nomad node ID; null for a client without a Consul agent. */
  readonly #names = new Map<string, string | null>();

  constructor(private readonly nomad: Pick<NomadJobs, "eligibleNodeIds" | "node">) {}

  /** Consul names of the nodes that take work, with their Nomad IDs. Rejects with NomadError. */
  async eligible(options: NomadCallOptions): Promise<Map<string, string>> {
    const ids = await this.nomad.eligibleNodeIds(options);
    const unknown = ids.filter((id) => !this.#names.has(id));
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let id = unknown.pop(); id !== undefined; id = unknown.pop()) this.#remember(await this.nomad.node(id, options));
    }));
    for (const id of this.#names.keys()) if (!ids.includes(id)) this.#names.delete(id);
    return new Map(ids.flatMap((id) => {
      const name = this.#names.get(id);
      return name === null || name === undefined ? [] : [[name, id] as const];
    }));
  }

  async nameOf(nodeId: string, options: NomadCallOptions): Promise<string | undefined> {
    if (!this.#names.has(nodeId)) this.#remember(await this.nomad.node(nodeId, options));
    return this.#names.get(nodeId) ?? undefined;
  }

  /** Why the node cannot run this driver now; undefined where it can. By the servers' present word. */
  async problem(name: string, nodeId: string, driver: string, options: NomadCallOptions): Promise<string | undefined> {
    const node = await this.nomad.node(nodeId, options);
    this.#remember(node);
    if (node.attributes.get(CONSUL_NAME) !== name) return `Nomad's node ${nodeId} is no longer beside ${name}`;
    if (!node.eligible) return `Nomad does not place on it (${node.status})`;
    const found = node.drivers.get(driver);
    return found?.detected === true && found.healthy ? undefined : `Nomad has no healthy driver ${driver} there`;
  }

  #remember({ id, attributes }: Pick<NomadNode, "id" | "attributes">): void {
    this.#names.set(id, attributes.get(CONSUL_NAME) ?? null);
  }
}
