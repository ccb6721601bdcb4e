/**
 * schemas/policy.schema.json from the table of fields: what editors check while somebody types. A file without `version`
 * is the ancestor's, where unknown fields are allowed, as our parser allows them.
 */
import type { FieldSpec, ObjectSpec } from "./field-spec.js";
import { VERSION_1, VERSION_2 } from "./policy-fields.js";

type Schema = Record<string, unknown>;

export function policySchema(): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "IBRL policy",
    description: "Which nodes may run a workload, and which of them should. docs/policy.md",
    type: "object",
    if: { required: ["version"], type: "object" },
    // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema has it so, and nobody awaits a schema
    then: objectSchema({ kind: "object", fields: VERSION_2, help: "Version 2." }, true),
    else: objectSchema({ kind: "object", fields: VERSION_1, help: "The first IBRL cluster's file." }, false),
  };
}

function schemaOf(spec: FieldSpec, strict: boolean): Schema {
  const schema = bareSchema(spec, strict);
  // The ancestor's parser reads null as absent.
  return strict || spec.required === true ? schema : { description: spec.help, anyOf: [schema, { type: "null" }] };
}

function bareSchema(spec: FieldSpec, strict: boolean): Schema {
  switch (spec.kind) {
    case "text":
      return { description: spec.help, type: "string", minLength: spec.empty === true ? 0 : 1, maxLength: spec.maxLength, ...(spec.pattern === undefined ? {} : { pattern: spec.pattern.source }) };
    case "choice":
      return { description: spec.help, type: "string", enum: spec.choices };
    case "flag":
      return { description: spec.help, type: "boolean" };
    case "number":
      return {
        description: spec.help, type: spec.whole === true ? "integer" : "number",
        [spec.above === true ? "exclusiveMinimum" : "minimum"]: spec.min, maximum: spec.max ?? Number.MAX_SAFE_INTEGER,
      };
    case "list":
      return { description: spec.help, type: "array", maxItems: spec.maxItems, ...(spec.of.kind === "object" || spec.repeats === true ? {} : { uniqueItems: true }), items: bareSchema(spec.of, strict) };
    case "object":
      return objectSchema(spec, strict);
  }
}

function objectSchema({ help, fields, oneOf }: ObjectSpec, strict: boolean): Schema {
  const required = Object.entries(fields).flatMap(([name, field]) => (field.required === true ? [name] : []));
  return {
    description: help, type: "object",
    ...(required.length === 0 ? {} : { required }),
    ...(strict ? { additionalProperties: false } : {}),
    properties: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, schemaOf(field, strict)])),
    ...(oneOf === undefined ? {} : { oneOf: oneOf.map((name) => ({ required: [name] })) }),
  };
}
