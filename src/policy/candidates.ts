/**
 * NodeViews to candidates: the facts of each node's verified records, and what the policies need beyond them (Needs).
 * Pure: times and the nodes of services come in. Not how facts are judged (rules.ts, scoring.ts).
 */
import { disputedLinks, type LinkView, linksOfNode } from "../beacon/links.js";
import { isBelieved, type NodeView } from "../beacon/node-view.js";
import type { Workload } from "../beacon/record.js";
import type { Candidate, LinkFact } from "./candidate.js";
import type { Needs } from "./needs.js";
import type { Copies, LinkTarget } from "./policy.js";

/** Consul service name to the nodes that run it. */
export type ServiceNodes = ReadonlyMap<string, readonly string[]>;

export interface Surroundings {
  /** Unix milliseconds: which link halves still count. */
  nowMs: number;
  services?: ServiceNodes;
}

/** In the order of `nodes`. */
export function candidatesOf(nodes: readonly NodeView[], needs: Needs, { nowMs, services = new Map() }: Surroundings): Candidate[] {
  const links = needs.targets.map((target) => linksTo(target, nodes, nowMs, services));
  const copies = needs.copies.map((asked) => copiesNear(asked, nodes, nowMs));
  const disputed = needs.disputedLinks ? disputedLinks(nodes, nowMs) : undefined;
  return nodes.map((view) => ({
    ...ownFacts(view),
    disputedLinks: view.state === undefined ? undefined : disputed?.get(view.name),
    links: links.map((of) => of(view.name)),
    copies: copies.map((of) => of(view)),
  }));
}

function ownFacts(view: NodeView): Omit<Candidate, "disputedLinks" | "links" | "copies"> {
  const believed = isBelieved(view.trust);
  const beacon = believed || view.trust === "federated" ? view.beacon : undefined;
  const state = believed ? view.state : undefined;
  const record = beacon?.record;
  return {
    node: view.name,
    nodeId: view.id,
    address: view.address,
    datacenter: view.datacenter,
    trust: view.trust,
    alive: view.alive,
    publicKey: beacon?.key.hex ?? state?.key.hex,
    beaconHash: beacon?.hash,
    stateHash: state?.hash,
    latencyUs: record?.latency?.us,
    latencyEstimated: record?.latency?.source === "estimated",
    jitterUs: record?.jitterUs,
    lossPpm: ppm(record?.lossRatio),
    queueDepth: record?.queueDepth,
    priceMicroUsdPerGb: record?.priceMicroUsdPerGb,
    reputationPpm: beacon === undefined ? undefined : ppm(view.reputation?.score),
    declaredReputationPpm: ppm(record?.declaredReputation),
    capabilities: record?.capabilities,
    workloads: state?.record.workloads?.length,
  };
}

const UNKNOWN_LINK: LinkFact = { state: "unknown", latencyUs: undefined, lossPpm: undefined };
const HERE: LinkFact = { state: "here", latencyUs: 0, lossPpm: 0 };

/** By candidate: its link to the nearest node of the target. A known latency is nearer than an unknown one. */
function linksTo(target: LinkTarget, nodes: readonly NodeView[], nowMs: number, services: ServiceNodes): (node: string) => LinkFact {
  const ends = "node" in target ? [target.node] : (services.get(target.service) ?? []);
  const nearest = new Map<string, LinkFact>();
  for (const end of nodes.filter(({ name }) => ends.includes(name))) {
    for (const link of linksOfNode(end, nodes, nowMs)) {
      const fact = factOf(link);
      const held = nearest.get(link.b.name);
      if (held === undefined || (fact.latencyUs ?? Infinity) < (held.latencyUs ?? Infinity)) nearest.set(link.b.name, fact);
    }
  }
  return (node) => (ends.includes(node) ? HERE : (nearest.get(node) ?? UNKNOWN_LINK));
}

/** An estimate stands in only where nobody probes: where probes get no answer there is no latency. */
function factOf({ state, rtt, estimateUs, lossRatio }: LinkView): LinkFact {
  const latencyUs = state === "estimated" ? estimateUs : rtt?.p50Us;
  return { state, latencyUs: latencyUs === undefined ? undefined : Math.round(latencyUs), lossPpm: ppm(lossRatio) };
}

/** By candidate: how many of the counted jobs' allocations are alive in its group, as far as it is known. */
function copiesNear(asked: Copies, nodes: readonly NodeView[], nowMs: number): (view: NodeView) => number | undefined {
  const own = new Map(nodes.map((view) => [view.name, copiesOn(view, asked.jobs)]));
  if (asked.by === "node") return ({ name }) => own.get(name);
  if (asked.by === "datacenter") {
    const sums = new Map<string, number>();
    for (const { name, datacenter } of nodes) sums.set(datacenter, (sums.get(datacenter) ?? 0) + (own.get(name) ?? 0));
    return ({ name, datacenter }) => (own.get(name) === undefined ? undefined : sums.get(datacenter));
  }
  const holders = nodes.filter(({ name }) => (own.get(name) ?? 0) > 0);
  const links = holders.map((holder) => ({ holder, to: linksTo({ node: holder.name }, nodes, nowMs, new Map()) }));
  return ({ name }) =>
    links.reduce<number | undefined>((sum, { holder, to }) => {
      if (holder.name === name || sum === undefined) return sum;
      const { latencyUs } = to(name);
      if (latencyUs === undefined) return undefined; // it may be near: then so many more copies would be in the group
      return latencyUs < (asked.nearerThanUs ?? 0) ? sum + (own.get(holder.name) ?? 0) : sum;
    }, own.get(name));
}

function copiesOn(view: NodeView, jobs: readonly string[]): number | undefined {
  const workloads = isBelieved(view.trust) ? view.state?.record.workloads : undefined;
  return workloads?.filter((workload) => isAlive(workload) && jobs.some((job) => names(job, workload.job))).length;
}

/** Nomad's client status of what runs or will run; complete, failed and lost allocations are none. */
function isAlive({ status }: Workload): boolean {
  return status === "running" || status === "pending";
}

function names(pattern: string, job: string): boolean {
  return pattern.endsWith("*") ? job.startsWith(pattern.slice(0, -1)) : job === pattern;
}

function ppm(ratio: number | undefined): number | undefined {
  return ratio === undefined ? undefined : Math.round(ratio * 1_000_000);
}
