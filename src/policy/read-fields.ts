/**
 * A parsed JSON value against a table of fields: every wrong field, type and range is named with its path and what would
 * be right, all of them at once. Not which fields there are (policy-fields.ts).
 */
import { expected, type FieldSpec, type FieldsOf, type ObjectSpec } from "./field-spec.js";
import { nearest } from "./suggestion.js";

export interface Problem {
  /** `rules.links[0].node`; empty for the file as a whole. */
  path: string;
  /** What is wrong and what would be right. */
  message: string;
}

export interface Findings {
  problems: Problem[];
  /** Unknown fields: an error in a strict file, a warning in the ancestor's. */
  unknown: Problem[];
}

/** The value is of its type where `problems` stays empty, and only then. */
export function readFields<F extends Readonly<Record<string, FieldSpec>>>(fields: F, value: unknown): { value: FieldsOf<F> } & Findings {
  const findings: Findings = { problems: [], unknown: [] };
  readObject({ kind: "object", fields, help: "" }, value, "", findings);
  return { value: value as FieldsOf<F>, ...findings };
}

function read(spec: FieldSpec, value: unknown, path: string, findings: Findings): void {
  if (spec.kind === "object") readObject(spec, value, path, findings);
  else if (spec.kind === "list" && Array.isArray(value)) {
    if (value.length > spec.maxItems) wrong(findings, path, `has ${String(value.length)} entries`, spec);
    value.forEach((item, i) => read(spec.of, item, `${path}[${String(i)}]`, findings));
    if (spec.repeats !== true) duplicates(spec.of, value, path, findings);
  } else if (!fits(spec, value)) wrong(findings, path, shown(value), spec);
}

function fits(spec: FieldSpec, value: unknown): boolean {
  switch (spec.kind) {
    case "text":
      return typeof value === "string" && (value.length >= 1 || spec.empty === true) && value.length <= spec.maxLength && (spec.pattern === undefined || new RegExp(spec.pattern.source).test(value));
    case "choice":
      return typeof value === "string" && spec.choices.includes(value);
    case "flag":
      return typeof value === "boolean";
    case "number": {
      // A number that is no finite one fails every comparison below but `>= min`: said first, so that none passes.
      if (typeof value !== "number" || !Number.isFinite(value)) return false;
      const low = spec.above === true ? value > spec.min : value >= spec.min;
      return low && value <= (spec.max ?? Number.MAX_SAFE_INTEGER) && (spec.whole !== true || Number.isInteger(value));
    }
    case "list":
    case "object":
      return false; // read() has taken what is a list or an object
  }
}

function readObject(spec: ObjectSpec, value: unknown, path: string, findings: Findings): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    wrong(findings, path, shown(value), spec);
    return;
  }
  const known = Object.keys(spec.fields);
  const at = (key: string): string => (path === "" ? key : `${path}.${key}`);
  for (const [key, item] of Object.entries(value)) {
    const field = Object.hasOwn(spec.fields, key) ? spec.fields[key] : undefined;
    if (field !== undefined) read(field, item, at(key), findings);
    else findings.unknown.push({ path: at(key), message: unknownField(key, known) });
  }
  for (const [key, field] of Object.entries(spec.fields)) {
    if (field.required === true && !Object.hasOwn(value, key)) findings.problems.push({ path: at(key), message: `is missing; it takes ${expected(field)}` });
  }
  const { oneOf } = spec;
  if (oneOf !== undefined && oneOf.filter((key) => Object.hasOwn(value, key)).length !== 1) {
    findings.problems.push({ path, message: `takes exactly one of ${oneOf.join(", ")}` });
  }
}

/** Said twice is a mistake, not an emphasis. */
function duplicates(spec: FieldSpec, values: readonly unknown[], path: string, findings: Findings): void {
  if (spec.kind === "object") return;
  values.forEach((value, i) => {
    if (values.indexOf(value) < i) findings.problems.push({ path: `${path}[${String(i)}]`, message: `${shown(value)} stands there twice` });
  });
}

function unknownField(key: string, known: readonly string[]): string {
  const meant = nearest(key, known);
  return `is no field here; ${meant === undefined ? `there are ${known.join(", ")}` : `${meant} was probably meant`}`;
}

function wrong(findings: Findings, path: string, found: string, spec: FieldSpec): void {
  findings.problems.push({ path, message: `${found} does not fit; it takes ${expected(spec)}` });
}

function shown(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value); // JSON would call NaN and infinity null
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
