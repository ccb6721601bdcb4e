/**
 * The rules of a policy, as data: a column of values, a limit, and what unknown means. Every rule is applied to every
 * candidate, so that a decision can say all that was wrong with a node and not the first thing only.
 */
import { isRejected } from "../beacon/node-view.js";
import type { Candidate } from "./candidate.js";
import { type CandidateTable, type Column, type Facts, isVerified } from "./candidate-table.js";
import type { RuleStatement, Unit } from "./evaluator.js";
import { copiesIndex, targetIndex } from "./needs.js";
import type { Copies, LinkRule, Policy, Subject } from "./policy.js";

export interface Rule {
  statement: RuleStatement;
  column: (table: CandidateTable, job: string | undefined) => Column;
  /** Excludes in permissive mode too. */
  hard?: true;
  /** For people, of a candidate that fails. */
  note?: (candidate: Candidate, index: number) => string | undefined;
}

/** Every rule there is, by name; of link rules without the number of the link. */
export const RULE_KINDS = [
  "alive", "verified_only", "not_rejected", "required_capabilities", "max_latency_ms", "max_jitter_ms", "max_packet_loss", "max_queue_depth", "max_price_per_gb",
  "min_reputation_score", "max_disputed_links", "budget", "links.disputed", "links.max_latency_ms", "links.max_packet_loss", "anti_affinity", "spread", "module",
] as const;
export type RuleKind = (typeof RULE_KINDS)[number];

/** `links[0].max_latency_ms` is of kind `links.max_latency_ms`. */
export function kindOf(rule: string): RuleKind {
  const kind = RULE_KINDS.find((each) => each === rule.replace(/\[\d+\]/, ""));
  if (kind === undefined) throw new RangeError(`${rule} is no rule`);
  return kind;
}

export function rulesOf(policy: Policy): Rule[] {
  const { limits } = policy;
  const max = (name: string, unit: Unit, subject: Subject, limit: number | undefined, column: Rule["column"]): Rule[] =>
    limit === undefined ? [] : [{ statement: { name, unit, sense: "max", limit, unknown: policy.unknown[subject] }, column }];
  return [
    ALIVE,
    trustRule(policy),
    ...capabilityRule(policy),
    ...max("max_latency_ms", "us", "latency", limits.latencyUs, fact("latency")),
    ...max("max_jitter_ms", "us", "jitter", limits.jitterUs, fact("jitter")),
    ...max("max_packet_loss", "ppm", "packet_loss", limits.lossPpm, fact("loss")),
    ...max("max_queue_depth", "count", "queue_depth", limits.queueDepth, fact("queue")),
    ...max("max_price_per_gb", "microusd-per-gb", "price", limits.priceMicroUsdPerGb, fact("price")),
    ...reputationRule(policy),
    ...max("max_disputed_links", "count", "link", limits.disputedLinks, derived("disputed links", (c) => c.disputedLinks)),
    ...budgetRule(policy),
    ...policy.links.flatMap((link, i) => linkRules(policy, link, `links[${String(i)}]`)),
    ...copiesRule(policy, "anti_affinity", policy.antiAffinity, 0),
    ...copiesRule(policy, "spread", policy.spread, policy.spread?.max),
  ];
}

export function reputationColumn({ reputation }: Policy): Rule["column"] {
  return fact(reputation === "declared" ? "declaredReputation" : "reputation");
}

/** A disputed link's latency counts where the policy accepts it, and is unknown elsewhere. */
export function linkColumn(policy: Policy, { target }: LinkRule, what: "latencyUs" | "lossPpm"): Rule["column"] {
  return (table) => {
    const index = targetIndex(table.needs, target);
    const accepted = policy.disputed === "accept";
    return table.column(`link ${String(index)} ${what} ${String(accepted)}`, ({ links }) => {
      const link = links[index];
      return link === undefined || (link.state === "disputed" && !accepted) ? undefined : link[what];
    });
  };
}

export function copiesColumn(copies: Copies): Rule["column"] {
  return (table, job) => {
    const index = copiesIndex(table.needs, copies, job);
    return table.column(`copies ${String(index)}`, (c) => c.copies[index]);
  };
}

export function fact(name: keyof Facts): Rule["column"] {
  return ({ facts }) => facts[name];
}

function derived(name: string, valueOf: (candidate: Candidate) => number | undefined): Rule["column"] {
  return (table) => table.column(name, valueOf);
}

/** Work on a node that is down is no work, whatever the mode; a node without a sidecar has nobody to say so. */
export const ALIVE: Rule = {
  statement: { name: "alive", unit: "yes-no", sense: "min", limit: 1, unknown: "neutral" },
  column: fact("alive"),
  hard: true,
};
export const VERIFIED: Rule = {
  statement: { name: "verified_only", unit: "yes-no", sense: "min", limit: 1, unknown: "reject" },
  column: fact("verified"),
  note: ({ trust }) => trust,
};
/** Without verified_only a node may have said nothing, but none may have been caught. */
const NOT_REJECTED: Rule = {
  statement: { name: "not_rejected", unit: "yes-no", sense: "min", limit: 1, unknown: "reject" },
  column: fact("notRejected"),
  note: ({ trust }) => trust,
};

function trustRule({ verifiedOnly, federated }: Policy): Rule {
  const rule = verifiedOnly ? VERIFIED : NOT_REJECTED;
  if (!federated) return rule;
  const holds = verifiedOnly ? isVerified : (c: Candidate) => !isRejected(c.trust);
  return { ...rule, column: derived(`${rule.statement.name} or federated`, (c) => Number(c.trust === "federated" || holds(c))) };
}

function capabilityRule({ requiredCapabilities: required, unknown }: Policy): Rule[] {
  if (required.length === 0) return [];
  const missing = ({ capabilities }: Candidate) => (capabilities === undefined ? undefined : required.filter((name) => !capabilities.includes(name)));
  return [{
    statement: { name: "required_capabilities", unit: "count", sense: "max", limit: 0, unknown: unknown.capabilities },
    column: derived(`missing ${JSON.stringify(required)}`, (c) => missing(c)?.length),
    note: (c) => `missing ${(missing(c) ?? required).join(", ")}`,
  }];
}

function reputationRule(policy: Policy): Rule[] {
  const limit = policy.limits.minReputationPpm;
  if (limit === undefined) return [];
  return [{ statement: { name: "min_reputation_score", unit: "score", sense: "min", limit, unknown: policy.unknown.reputation }, column: reputationColumn(policy) }];
}

function budgetRule({ budget, unknown }: Policy): Rule[] {
  if (budget === undefined) return [];
  const { expectedGb, maxMicroUsd } = budget;
  return [{
    statement: { name: "budget", unit: "microusd", sense: "max", limit: maxMicroUsd, unknown: unknown.price },
    column: derived(`cost of ${String(expectedGb)}`, ({ priceMicroUsdPerGb: price }) => (price === undefined ? undefined : Math.round(price * expectedGb))),
  }];
}

function linkRules(policy: Policy, link: LinkRule, name: string): Rule[] {
  const rules: Rule[] = [];
  const unknown = policy.unknown.link;
  if (policy.disputed === "reject") {
    rules.push({
      statement: { name: `${name}.disputed`, unit: "yes-no", sense: "max", limit: 0, unknown },
      column: (table) => {
        const index = targetIndex(table.needs, link.target);
        return table.column(`link ${String(index)} disputed`, ({ links }) => Number(links[index]?.state === "disputed"));
      },
    });
  }
  const max = (limit: number | undefined, field: string, unit: Unit, what: "latencyUs" | "lossPpm") => {
    if (limit !== undefined) rules.push({ statement: { name: `${name}.${field}`, unit, sense: "max", limit, unknown }, column: linkColumn(policy, link, what) });
  };
  max(link.maxLatencyUs, "max_latency_ms", "us", "latencyUs");
  max(link.maxLossPpm, "max_packet_loss", "ppm", "lossPpm");
  return rules;
}

/** Of the copies that are there already. */
function copiesRule({ unknown }: Policy, name: string, copies: Copies | undefined, limit: number | undefined): Rule[] {
  if (copies === undefined || limit === undefined) return [];
  return [{ statement: { name, unit: "count", sense: "max", limit, unknown: unknown.workloads }, column: copiesColumn(copies) }];
}
