/** Candidates as they would be: with a broken rule just met, or with one fact at another value. For why-not.ts. */
import type { Candidate, LinkFact } from "./candidate.js";
import type { Decision, Role } from "./decide.js";
import type { RuleStatement, Unit } from "./evaluator.js";
import { copiesIndex, targetIndex, targetName } from "./needs.js";
import type { Copies, Policy } from "./policy.js";

export interface Fact {
  name: string;
  unit: Unit;
  higherIsBetter: boolean;
  /** Of any honest record. */
  max: number;
  get: (candidate: Candidate) => number | undefined;
  set: (candidate: Candidate, value: number) => Candidate;
}

type NumberKey = "latencyUs" | "jitterUs" | "lossPpm" | "queueDepth" | "priceMicroUsdPerGb" | "reputationPpm" | "declaredReputationPpm";

const fact = (name: string, unit: Unit, key: NumberKey, max: number, higherIsBetter = false): Fact => ({
  name, unit, max, higherIsBetter, get: (candidate) => candidate[key], set: (candidate, value) => ({ ...candidate, [key]: value }),
});
const HOUR_US = 3_600_000_000;
const OWN: readonly Fact[] = [
  fact("latency", "us", "latencyUs", HOUR_US),
  fact("jitter", "us", "jitterUs", HOUR_US),
  fact("packet loss", "ppm", "lossPpm", 1_000_000),
  fact("queue depth", "count", "queueDepth", 0xffff_ffff),
  fact("price", "microusd-per-gb", "priceMicroUsdPerGb", 1e12),
  fact("reputation", "score", "reputationPpm", 1_000_000, true),
];

/** What is measured or set, and could be another tomorrow: capabilities and copies are not on a scale. */
export function factsThatMayChange({ table: { needs } }: Decision): Fact[] {
  const links = needs.targets.map((target, i): Fact => ({
    name: `latency to ${targetName(target)}`, unit: "us", max: HOUR_US, higherIsBetter: false,
    get: ({ links: of }) => of[i]?.latencyUs,
    set: (candidate, latencyUs) => withLink(candidate, i, { latencyUs }),
  }));
  return [...OWN, ...links];
}

/** A node without one would have some key: as the last of all it loses every tie, and what is named is enough with any key. */
const LAST_KEY = "f".repeat(64);

/** The rule just met: its value at the limit, what is missing there. The same candidate where a rule is not ours to meet. */
export function ruleMet(candidate: Candidate, { name, limit }: RuleStatement, { applied, table: { needs }, request }: Decision, role: Role): Candidate {
  if (name === "alive") return { ...candidate, alive: true };
  if (name === "verified_only" || name === "not_rejected") return { ...candidate, trust: "pinned", publicKey: candidate.publicKey ?? LAST_KEY };
  const policy = applied.find((of) => of.role === role)?.evaluator.policy;
  if (policy === undefined) return candidate; // a module's own verdict
  const [, link, field] = /^links\[(\d+)\]\.(.+)$/.exec(name) ?? [];
  if (link !== undefined && field !== undefined) return linkMet(candidate, policy, Number(link), field, limit, (target) => targetIndex(needs, target));
  const copies = (of: Copies | undefined): Candidate => {
    const index = of === undefined ? -1 : copiesIndex(needs, of, request.job);
    return { ...candidate, copies: candidate.copies.map((count, i) => (i === index ? limit : count)) };
  };
  switch (name) {
    case "required_capabilities": return { ...candidate, capabilities: [...new Set([...(candidate.capabilities ?? []), ...policy.requiredCapabilities])].sort() };
    case "max_latency_ms": return { ...candidate, latencyUs: limit };
    case "max_jitter_ms": return { ...candidate, jitterUs: limit };
    case "max_packet_loss": return { ...candidate, lossPpm: limit };
    case "max_queue_depth": return { ...candidate, queueDepth: limit };
    case "max_price_per_gb": return withPrice(candidate, limit);
    case "budget": return withPrice(candidate, Math.floor(limit / (policy.budget?.expectedGb ?? 1)));
    case "min_reputation_score": return policy.reputation === "declared" ? { ...candidate, declaredReputationPpm: limit } : { ...candidate, reputationPpm: limit };
    case "max_disputed_links": return { ...candidate, disputedLinks: limit };
    case "anti_affinity": return copies(policy.antiAffinity);
    case "spread": return copies(policy.spread);
    default: return candidate;
  }
}

/** Two rules may limit the price: the lower one holds. */
function withPrice(candidate: Candidate, price: number): Candidate {
  return { ...candidate, priceMicroUsdPerGb: Math.min(price, candidate.priceMicroUsdPerGb ?? price) };
}

function linkMet(candidate: Candidate, policy: Policy, rule: number, field: string, limit: number, indexOf: (target: Policy["links"][number]["target"]) => number): Candidate {
  const target = policy.links[rule]?.target;
  if (target === undefined) return candidate;
  const state = { state: "agreed" as const };
  return withLink(candidate, indexOf(target), field === "max_latency_ms" ? { latencyUs: limit, ...state } : field === "max_packet_loss" ? { lossPpm: limit, ...state } : state);
}

function withLink(candidate: Candidate, index: number, change: Partial<LinkFact>): Candidate {
  return { ...candidate, links: candidate.links.map((link, i) => (i === index ? { ...link, ...change } : link)) };
}
