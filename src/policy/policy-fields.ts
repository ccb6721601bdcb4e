/**
 * The fields of a policy file, once: parser, types, schemas/policy.schema.json and the tables of docs/policy.md come
 * from here. VERSION_1 is the ancestor's file, which has no `version`; VERSION_2 is ours. Units are in the names, and
 * percent (0 to 100) stands where the ancestor has it. What the fields mean for a node: rules.ts, scoring.ts.
 */
import type { ChoiceSpec, FieldsOf, FlagSpec, NumberSpec } from "./field-spec.js";

const MAX_NAME = 64;
/** A policy is stored in KV under its name. */
export const POLICY_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
const CAPABILITY = { source: "^[a-z0-9][a-z0-9._-]{0,31}$", means: 'a capability\'s name, such as "vm": lower-case letters, digits, . _ -' };
const NODE = { source: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", means: "a Consul name: letters, digits, . _ -" };
const JOB = { source: "^[^*\\s]{1,127}\\*?$", means: 'a Nomad job ID, or its start with a * behind it, such as "web-*"' };

const ms = (help: string) => ({ kind: "number", unit: "milliseconds", min: 0, help }) as const satisfies NumberSpec;
const usd = (help: string) => ({ kind: "number", unit: "US dollars for 10^9 bytes", min: 0, help }) as const satisfies NumberSpec;
const percent = (help: string) => ({ kind: "number", unit: "percent", min: 0, max: 100, help }) as const satisfies NumberSpec;
const ratio = (help: string) => ({ kind: "number", unit: "a score", min: 0, max: 1, help }) as const satisfies NumberSpec;
const count = (help: string) => ({ kind: "number", unit: "a count", min: 0, whole: true, help }) as const satisfies NumberSpec;
const seconds = (help: string) => ({ kind: "number", unit: "seconds", min: 0, max: 86_400, help }) as const satisfies NumberSpec;
const weight = (of: string) => ({ kind: "number", unit: "a weight", min: 0, max: 1_000_000, help: `Weight of ${of}.` }) as const satisfies NumberSpec;
const flag = (help: string) => ({ kind: "flag", help }) as const satisfies FlagSpec;
const handling = (of: string) => ({ kind: "choice", choices: ["reject", "neutral"], help: `Where ${of} unknown.` }) as const satisfies ChoiceSpec;
const range = (what: string, unit: string) =>
  ({
    kind: "object", help: `Values of ${what} that score 1 and 0; without it, the best and the worst candidate.`,
    fields: {
      best: { kind: "number", unit, min: 0, required: true, help: "Scores 1, and so does anything better." },
      worst: { kind: "number", unit, min: 0, required: true, help: "Scores 0, and so does anything worse." },
    },
  }) as const;

const name = { kind: "text", maxLength: MAX_NAME, required: true, help: "What people call the policy." } as const;
const description = { kind: "text", maxLength: 1_024, empty: true, help: "For people." } as const;
const mode = { kind: "choice", choices: ["enforce", "permissive"], required: true, help: "enforce: a node that breaks a rule is never chosen. permissive: it ranks after all others." } as const;
const capabilities = { kind: "list", maxItems: 64, of: { kind: "text", maxLength: 32, pattern: CAPABILITY, help: "A capability." }, help: "The node must have all of them." } as const;
const jobs = { kind: "list", maxItems: 16, of: { kind: "text", maxLength: 128, pattern: JOB, help: "A job." }, help: "Whose allocations count. Default: the workload's own job." } as const;

/** The ancestor's. An absent or zero limit is no limit; all weights zero means 0.25 each. */
export const VERSION_1 = {
  name: { ...name, maxLength: 1_024 },
  description: { ...description, maxLength: 65_536 },
  mode,
  rules: {
    kind: "object", help: "Limits, inclusive. Absent or zero is no limit.",
    fields: {
      required_capabilities: { ...capabilities, repeats: true, of: { kind: "text", maxLength: 128, help: "A capability." } },
      max_latency_ms: ms("Highest headline latency."),
      max_price_per_gb: usd("Highest price."),
      min_reputation_score: ratio("Lowest reputation."),
      max_queue_depth: count("Longest queue."),
      max_packet_loss: percent("Highest packet loss."),
      max_jitter_ms: ms("Highest jitter."),
      prefer_low_latency: flag("Of equal scores the lower latency first."),
      prefer_low_price: flag("Of equal scores the lower price first."),
      prefer_high_reputation: flag("Of equal scores the higher reputation first."),
    },
  },
  scoring: {
    kind: "object", help: "Weights of the ancestor's formula.",
    fields: {
      latency_weight: weight("max(0, 1 - latency_ms/200)"),
      price_weight: weight("max(0, 1 - price)"),
      reputation_weight: weight("the reputation"),
      queue_weight: weight("max(0, 1 - queue/100)"),
    },
  },
} as const;

export const PREFERENCES = ["low_latency", "low_price", "high_reputation", "low_jitter", "low_loss", "short_queue", "near_link", "few_copies"] as const;

/** Ours. An absent limit is no limit, zero is zero. */
export const VERSION_2 = {
  $schema: { kind: "text", maxLength: 1_024, help: "For editors: where the JSON Schema is." },
  version: { kind: "number", unit: "the version of the file", min: 2, max: 2, whole: true, required: true, help: "2." },
  name: { ...name, pattern: { source: POLICY_NAME, means: "a name of 1 to 64 letters, digits, . _ -" } },
  description,
  tags: { kind: "list", maxItems: 16, of: { kind: "text", maxLength: 64, help: "A tag." }, help: "Shown with the policy where it is a cluster's." },
  mode,
  verified_only: flag("Only nodes whose signed record this reader verified. Default: true in enforce, false in permissive."),
  federated: { kind: "choice", choices: ["refuse", "use"], help: "Nodes of other clusters, which the beacon network lists: never chosen (the default), or as if they were verified here." },
  disputed: { kind: "choice", choices: ["reject", "unknown", "accept"], help: "A link whose two ends contradict each other: break the link rule, count as unknown (the default), or take the worse end's word." },
  reputation: { kind: "choice", choices: ["observed", "declared"], help: "Which reputation counts: what others observed (the default), or what the node says of itself." },
  unknown: {
    kind: "object", help: "What an unknown value means: reject breaks the rule and scores 0 (the default in enforce), neutral passes it and scores 0.5 (the default in permissive).",
    fields: {
      latency: handling("the latency is"), jitter: handling("the jitter is"), packet_loss: handling("the packet loss is"),
      queue_depth: handling("the queue is"), price: handling("the price is"), reputation: handling("the reputation is"),
      capabilities: handling("the capabilities are"), link: handling("a link is"), workloads: handling("the node's workloads are"),
    },
  },
  rules: {
    kind: "object", help: "Limits, inclusive. Absent is no limit; zero is zero.",
    fields: {
      required_capabilities: capabilities,
      max_latency_ms: ms("Highest headline latency."),
      max_jitter_ms: ms("Highest headline jitter."),
      max_packet_loss: percent("Highest packet loss."),
      max_queue_depth: count("Longest queue."),
      max_price_per_gb: usd("Highest price."),
      min_reputation_score: ratio("Lowest reputation."),
      max_disputed_links: count("How many of the node's links may be disputed."),
      budget: {
        kind: "object", help: "Price times expected traffic.",
        fields: {
          expected_gb: { kind: "number", unit: "10^9 bytes", min: 0, above: true, max: 1e9, required: true, help: "Traffic that the workload will send." },
          max_usd: { kind: "number", unit: "US dollars", min: 0, max: 1e9, required: true, help: "What it may cost." },
        },
      },
      links: {
        kind: "list", maxItems: 8, help: "Place near what the workload talks to.",
        of: {
          kind: "object", help: "The link to a node, or to the nearest node of a service.", oneOf: ["node", "service"],
          fields: {
            node: { kind: "text", maxLength: 128, pattern: NODE, help: "A Consul node." },
            service: { kind: "text", maxLength: 128, pattern: NODE, help: "A Consul service; its nearest node counts." },
            max_latency_ms: ms("Highest round trip (p50)."),
            max_packet_loss: percent("Highest loss of round trips."),
          },
        },
      },
      anti_affinity: {
        kind: "object", help: "Not where such a workload runs already.",
        fields: { by: { kind: "choice", choices: ["node", "datacenter"], help: "How far away is away. Default: node." }, jobs },
      },
      spread: {
        kind: "object", help: "At most so many copies in one group.",
        fields: {
          by: { kind: "choice", choices: ["node", "datacenter", "link"], required: true, help: "A group is a node, a datacenter, or the nodes within nearer_than_ms of each other." },
          nearer_than_ms: { ...ms("With by link: nodes nearer than this are one group."), above: true },
          max: { ...count("How many copies may run in the group already. Absent: no limit, only scored."), max: 10_000 },
          jobs,
        },
      },
    },
  },
  scoring: {
    kind: "object", help: "The score is the weighted mean of the terms, 0 to 1. No weight at all: 0.25 each for latency, price, reputation and queue.",
    fields: {
      latency_weight: weight("low latency"), price_weight: weight("a low price"), reputation_weight: weight("high reputation"),
      queue_weight: weight("a short queue"), jitter_weight: weight("low jitter"), loss_weight: weight("low loss"),
      link_weight: weight("the nearness of the links in rules.links, the farthest of them"), spread_weight: weight("few copies in the group of rules.spread"),
      ranges: {
        kind: "object", help: "Fixed scales, term by term. A term without one is scaled over the candidates.",
        fields: {
          latency_ms: range("latency", "milliseconds"), price_per_gb: range("price", "US dollars for 10^9 bytes"),
          reputation: range("reputation", "a score"), queue_depth: range("queue depth", "a count"), jitter_ms: range("jitter", "milliseconds"),
          packet_loss: range("packet loss", "percent"), link_ms: range("link latency", "milliseconds"), copies: range("copies in the group", "a count"),
        },
      },
      prefer: {
        kind: "list", maxItems: PREFERENCES.length, of: { kind: "choice", choices: PREFERENCES, help: "A preference." },
        help: "Of equal scores, the order: the first that differs decides. Unknown comes last.",
      },
      decimals: { kind: "number", unit: "a count", min: 0, max: 6, whole: true, help: "Decimals to which scores are compared; fewer make more ties for prefer to break. Default: 6." },
    },
  },
  grace_s: seconds("How long a running workload may be on a node that breaks a rule, in enforce, before it is moved. Default: 60."),
  rebalance: {
    kind: "object", help: "When a running workload may move to a better node. Absent: never.",
    fields: {
      min_gain: { kind: "number", unit: "a score", min: 0, max: 1, required: true, help: "How much better another node must score." },
      hold_s: { ...seconds("How long it must have been better without a break. Default: 300.") },
      cooldown_s: { ...seconds("Least time between two moves of one workload. Default: 3600.") },
      max_parallel: { ...count("How many moved workloads may not run yet when one more moves. Default: 1."), min: 1, max: 1_000 },
      min_saving_usd: { kind: "number", unit: "US dollars", min: 0, help: "How much less rules.budget.expected_gb must cost there. Absent: cost alone decides nothing." },
      dry_run: flag("The mover only logs what it would move. Default: true."),
    },
  },
} as const;

export type FileV1 = FieldsOf<typeof VERSION_1>;
export type FileV2 = FieldsOf<typeof VERSION_2>;
