/**
 * This node as Nomad knows it, read once for all readers that need it. NOMAD_ADDR may point at a server, or at the
 * agent of another machine, whose drivers and allocations are not ours to publish: the node must name our Consul node,
 * or, where it names none (Nomad without a Consul), this machine's host name.
 */
import type { NomadAgentSelf, NomadAllocation, NomadApi, NomadCallOptions, NomadEvaluation, NomadNode } from "../nomad-api.js";
import { measured, type Reading, readingOf, unmeasured } from "./reading.js";

export interface LocalIdentity {
  /** Absent where no Consul agent has answered. */
  consulNode?: string;
  hostname: string;
}

export interface LocalNomad {
  node: Reading<NomadNode>;
  /** All that Nomad keeps of this node, the ended ones too. */
  allocations: Reading<NomadAllocation[]>;
  /** Blocked and pending evaluations that name this node. */
  evaluations: Reading<NomadEvaluation[]>;
}

/** Rejects only where a call was aborted. */
export async function readLocalNomad(
  nomad: NomadApi,
  identity: LocalIdentity,
  options: NomadCallOptions = {},
): Promise<LocalNomad> {
  const self = await readingOf(nomad.self(options));
  if (self.value === undefined) return { node: self, allocations: self, evaluations: self };
  if (!self.value.isClient) return neither("nomad-not-a-client");

  const node = await readingOf(nomad.node(self.value.nodeId, options));
  if (node.value === undefined) return { node, allocations: node, evaluations: node };
  if (!isThisNode(node.value, identity)) return neither("nomad-other-node", `the agent's node is ${node.value.name}`);

  const [allocations, evaluations] = await Promise.all([
    readingOf(nomad.allocations(self.value.nodeId, options)),
    readingOf(nomad.waitingEvaluations(self.value.nodeId, options)),
  ]);
  return { node, allocations: allocations.value === undefined ? allocations : complete(self.value, allocations.value), evaluations };
}

/**
 * A token without `read-job` is shown fewer allocations than there are, without a word. Where ACLs are on and the
 * client holds more than we were shown, what we know is no count. The client was asked first, so that an allocation
 * placed in between does not look hidden.
 */
function complete(self: NomadAgentSelf & { isClient: true }, shown: NomadAllocation[]): Reading<NomadAllocation[]> {
  if (!self.aclEnabled || shown.length >= self.heldAllocations) return measured(shown);
  return unmeasured("nomad-allocations-hidden", `${String(self.heldAllocations)} held, ${String(shown.length)} shown`);
}

function isThisNode(node: NomadNode, identity: LocalIdentity): boolean {
  const named = node.attributes.get("unique.consul.name");
  if (named !== undefined && identity.consulNode !== undefined) return named === identity.consulNode;
  return node.attributes.get("unique.hostname") === identity.hostname;
}

function neither(reason: string, detail?: string): LocalNomad {
  const unknown = unmeasured(reason, detail);
  return { node: unknown, allocations: unknown, evaluations: unknown };
}
