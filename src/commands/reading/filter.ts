/**
 * `--filter EXPRESSION`: a field, a comparison and a value, such as `latency<=20` or `capability=vm`. Unknown never
 * passes a comparison of numbers: the ancestor's isolated node looked best because its latency read as 0.
 * `FIELD=unknown` finds exactly those.
 */
import type { NodeView } from "../../beacon/node-view.js";
import { isBelieved } from "../../beacon/node-view.js";
import { TRUST_STATES } from "../../beacon/registry.js";
import { type Figures, figuresOf } from "../views/figures.js";
import { matchesName } from "./select-nodes.js";
import { UsageError } from "./usage-error.js";

export type NodeFilter = (view: NodeView) => boolean;
type Operator = "<=" | ">=" | "!=" | "<" | ">" | "=";

interface NumberField {
  /** What a value looks like, for people; `parse` gives undefined for anything else. */
  expects: string;
  parse: (text: string) => number | undefined;
  of: (figures: Figures) => number | undefined;
}
interface TextField {
  values?: readonly string[];
  expects: string;
  /** Undefined where it is not known whether the value holds. */
  holds: (view: NodeView, value: string) => boolean | undefined;
}

const plain = (text: string): number | undefined => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined);
const withUnit =
  (units: Record<string, number>) =>
  (text: string): number | undefined => {
    const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-zµ%]*)$/u.exec(text) ?? [];
    const factor = units[unit];
    return digits === "" || factor === undefined ? undefined : Number(digits) * factor;
  };
const time = { expects: "milliseconds, such as 20, 500us or 1.5s", parse: withUnit({ "": 1, ms: 1, us: 0.001, µs: 0.001, s: 1_000 }) };

const NUMBERS: Record<string, NumberField> = {
  latency: { ...time, of: (f) => f.latencyMs },
  jitter: { ...time, of: (f) => f.jitterMs },
  // Percent must be said: a bare 0.5 could be half a percent or half of all.
  loss: { expects: "percent, such as 0.5%", parse: withUnit({ "%": 0.01 }), of: (f) => f.lossRatio },
  queue: { expects: "a count, such as 10", parse: plain, of: (f) => f.queueDepth },
  price: { expects: "dollars for a GB, such as 0.02", parse: (text) => plain(text.replace(/^\$/, "")), of: (f) => f.pricePerGb },
  reputation: { expects: "a score from 0 to 1, such as 0.8", parse: plain, of: (f) => f.reputation },
  workloads: { expects: "a count, such as 2", parse: plain, of: (f) => f.workloads?.length },
  age: { expects: "seconds, such as 30, 500ms or 5min", parse: withUnit({ "": 1_000, ms: 1, s: 1_000, min: 60_000, h: 3_600_000 }), of: (f) => f.ageMs },
};

const yesNo = { values: ["true", "false"], expects: "true or false" };
const TEXTS: Record<string, TextField> = {
  node: { expects: "a node's name or ID", holds: matchesName },
  datacenter: { expects: "a datacenter's name", holds: (view, value) => view.datacenter === value },
  capability: { expects: "a capability's name, such as vm", holds: (view, value) => figuresOf(view).capabilities?.includes(value) },
  trust: { values: TRUST_STATES, expects: `one of ${TRUST_STATES.join(", ")}`, holds: (view, value) => view.trust === value },
  verified: { ...yesNo, holds: (view, value) => String(isBelieved(view.trust)) === value },
  alive: { ...yesNo, holds: (view, value) => (view.alive === undefined ? undefined : String(view.alive) === value) },
};

/** For help. */
export const FILTER_FIELDS: readonly string[] = [...Object.keys(NUMBERS), ...Object.keys(TEXTS)];

const COMPARE: Record<Operator, (a: number, b: number) => boolean> = {
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "=": (a, b) => a === b,
};

/** All must hold. Throws UsageError that names every bad one. */
export function parseFilters(expressions: readonly string[]): NodeFilter {
  const parsed = expressions.map(parseFilter);
  const wrong = parsed.filter((filter) => typeof filter === "string");
  if (wrong.length > 0) throw new UsageError(wrong.join("\n"));
  return (view) => parsed.every((filter) => typeof filter !== "string" && filter(view));
}

/** The filter, or what is wrong with the expression. */
function parseFilter(expression: string): NodeFilter | string {
  const wrong = (reason: string): string => `--filter ${JSON.stringify(expression)}: ${reason}`;
  const match = /^\s*([A-Za-z_-]+)\s*(<=|>=|!=|<|>|==?)\s*(?!=)(.+?)\s*$/.exec(expression);
  if (match === null) return wrong("write FIELD, a comparison (< <= > >= = !=) and a value, such as latency<=20 or capability=vm");
  const [, name = "", sign = "", value = ""] = match;
  const operator = (sign === "==" ? "=" : sign) as Operator;
  if (Object.hasOwn(NUMBERS, name)) return numberFilter(NUMBERS[name] as NumberField, name, operator, value, wrong);
  if (Object.hasOwn(TEXTS, name)) return textFilter(TEXTS[name] as TextField, name, operator, value, wrong);
  return wrong(`there is no field ${name}; there are ${FILTER_FIELDS.join(", ")}`);
}

type Wrong = (reason: string) => string;

function numberFilter(field: NumberField, name: string, operator: Operator, value: string, wrong: Wrong): NodeFilter | string {
  if (value === "unknown") {
    if (operator !== "=" && operator !== "!=") return wrong(`unknown has no order; write ${name}=unknown or ${name}!=unknown`);
    return (view) => (field.of(figuresOf(view)) === undefined) === (operator === "=");
  }
  const limit = field.parse(value);
  if (limit === undefined) return wrong(`${name} takes ${field.expects}, or unknown`);
  return (view) => {
    const actual = field.of(figuresOf(view));
    return actual !== undefined && COMPARE[operator](actual, limit);
  };
}

function textFilter(field: TextField, name: string, operator: Operator, value: string, wrong: Wrong): NodeFilter | string {
  if (operator !== "=" && operator !== "!=") return wrong(`${name} has no order; write ${name}=${value} or ${name}!=${value}`);
  if (field.values?.includes(value) === false) return wrong(`${name} takes ${field.expects}`);
  return (view) => field.holds(view, value) === (operator === "=");
}
