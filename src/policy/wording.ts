/** Values, rules and problems in words: the sidecar's answers and the CLI say the same. Units as people know them. */
import type { RuleResult, RuleStatement, Unit } from "./evaluator.js";
import type { Problem } from "./read-fields.js";

/** `120 ms`, `0.5%`, `$0.01`, `yes`, `3`; the digits that are there, and no more. */
export function valueText(value: number | undefined, unit: Unit): string {
  if (value === undefined) return "unknown";
  switch (unit) {
    case "us":
      return `${decimal(value / 1_000)} ms`;
    case "ppm":
      return `${decimal(value / 10_000)}%`;
    case "microusd":
      return `$${decimal(value / 1_000_000)}`;
    case "microusd-per-gb":
      return `$${decimal(value / 1_000_000)}/GB`;
    case "score":
      return decimal(value / 1_000_000);
    case "yes-no":
      return value === 1 ? "yes" : "no";
    case "count":
      return decimal(value);
  }
}

/** Why a node breaks the rule: `max_latency_ms: 120 ms > 100 ms`, `max_jitter_ms: unknown (limit 5 ms)`. */
export function failureText({ rule, value, note }: RuleResult): string {
  if (value === undefined) return `${rule.name}: unknown (${limitText(rule)})`;
  if (rule.unit === "yes-no") return `${rule.name}: ${note ?? valueText(value, rule.unit)}`;
  if (note !== undefined) return `${rule.name}: ${note}`;
  return `${rule.name}: ${valueText(value, rule.unit)} ${rule.sense === "max" ? ">" : "<"} ${valueText(rule.limit, rule.unit)}`;
}

export function limitText({ unit, sense, limit }: RuleStatement): string {
  return unit === "yes-no" ? `must be ${valueText(limit, unit)}` : `${sense === "max" ? "at most" : "at least"} ${valueText(limit, unit)}`;
}

export function problemText({ path, message }: Problem): string {
  return path === "" ? `the file ${message}` : `${path}: ${message}`;
}

/** At most six decimals, without zeros behind. */
function decimal(value: number): string {
  return String(Number(value.toFixed(6)));
}
