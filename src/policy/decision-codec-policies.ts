/** The policies of a decision record on the wire: names, files, and what each rule and term was. As decision-codec.ts. */
import { integer, optional, RecordError, text } from "../beacon/codec.js";
import type { ibrl } from "../proto/messages.js";
import type { RecordedPolicy } from "./decision-record.js";
import { type RuleStatement, type TermStatement, type Unit, UNITS } from "./evaluator.js";

const ROLES = ["cluster", "spawn"] as const;
const HASH_BYTES = 32;

export function writePolicy({ role, name, mode, hash, file, rules, terms }: RecordedPolicy): ibrl.v1.DecisionPolicy.$Properties {
  return {
    role: ROLES.indexOf(role) + 1,
    name,
    permissive: mode === "permissive",
    hash: Buffer.from(hash, "hex"),
    ...(file === undefined ? {} : { file }),
    rules: rules.map(({ name: rule, unit, sense, limit, unknown }) => ({ name: rule, unit, minimum: sense === "min", limit, unknown_passes: unknown === "neutral" })),
    terms: terms.map(({ name: term, unit, weight, best, worst, unknown }) => ({
      name: term, unit, weight_ppm: Math.round(weight * 1_000_000), unknown_neutral: unknown === "neutral",
      ...(best === undefined || worst === undefined ? {} : { best, worst }),
    })),
  };
}

export function readPolicies(messages: readonly ibrl.v1.DecisionPolicy.$Properties[]): RecordedPolicy[] {
  if (messages.length < 1 || messages.length > 2) throw new RecordError("policies", `${String(messages.length)}; a decision has one or two`);
  return messages.map((m) => {
    const role = ROLES[(m.role ?? 0) - 1];
    if (role === undefined) throw new RecordError("policies.role", `${String(m.role)} stands for nothing`);
    if (m.hash?.length !== HASH_BYTES) throw new RecordError("policies.hash", `${String(m.hash?.length ?? 0)} bytes instead of ${String(HASH_BYTES)}`);
    return {
      role,
      name: text("policies.name", m.name),
      mode: m.permissive === true ? "permissive" : "enforce",
      hash: Buffer.from(m.hash).toString("hex"),
      ...((m.file?.length ?? 0) === 0 ? {} : { file: Uint8Array.from(m.file ?? []) }),
      rules: (m.rules ?? []).map(readRule),
      terms: (m.terms ?? []).map(readTerm),
    };
  });
}

function readRule(m: ibrl.v1.DecisionRule.$Properties): RuleStatement {
  return {
    name: text("policies.rules.name", m.name),
    unit: unitOf("policies.rules.unit", m.unit),
    sense: m.minimum === true ? "min" : "max",
    limit: integer("policies.rules.limit", m.limit, Number.MAX_SAFE_INTEGER),
    unknown: m.unknown_passes === true ? "neutral" : "reject",
  };
}

function readTerm(m: ibrl.v1.DecisionTerm.$Properties): TermStatement {
  const best = optional("policies.terms.best", m.best, Number.MAX_SAFE_INTEGER);
  const worst = optional("policies.terms.worst", m.worst, Number.MAX_SAFE_INTEGER);
  return {
    name: text("policies.terms.name", m.name),
    unit: unitOf("policies.terms.unit", m.unit),
    weight: integer("policies.terms.weight_ppm", m.weight_ppm, Number.MAX_SAFE_INTEGER) / 1_000_000,
    unknown: m.unknown_neutral === true ? "neutral" : "reject",
    ...(best === undefined || worst === undefined ? {} : { best, worst }),
  };
}

function unitOf(field: string, value: string | null | undefined): Unit {
  const unit = UNITS.find((known) => known === value);
  if (unit === undefined) throw new RecordError(field, `${JSON.stringify(value)} is no unit`);
  return unit;
}
