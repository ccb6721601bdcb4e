/**
 * How a field of a policy file is described: once, for the parser (read-fields.ts), the JSON Schema (policy-schema.ts)
 * and the compiler, which derives the type of the parsed value. Not which fields there are (policy-fields.ts).
 */

interface Described {
  help: string;
  required?: true;
}
export interface TextSpec extends Described {
  kind: "text";
  maxLength: number;
  /** "" says nothing, and may stand there. */
  empty?: true;
  /** What the whole text must match, with the words that say so. */
  pattern?: { source: string; means: string };
}
export interface ChoiceSpec extends Described {
  kind: "choice";
  choices: readonly string[];
}
export interface NumberSpec extends Described {
  kind: "number";
  /** For people: "milliseconds". */
  unit: string;
  min: number;
  max?: number;
  /** The minimum itself does not pass. */
  above?: true;
  whole?: true;
}
export interface FlagSpec extends Described {
  kind: "flag";
}
export interface ListSpec extends Described {
  kind: "list";
  of: FieldSpec;
  maxItems: number;
  /** An entry may stand there twice. */
  repeats?: true;
}
export interface ObjectSpec extends Described {
  kind: "object";
  fields: Readonly<Record<string, FieldSpec>>;
  /** Exactly one of these fields must be there. */
  oneOf?: readonly string[];
}
export type FieldSpec = TextSpec | ChoiceSpec | NumberSpec | FlagSpec | ListSpec | ObjectSpec;

type ValueOf<S> = S extends { kind: "text" } ? string
  : S extends { kind: "choice"; choices: readonly (infer C)[] } ? C
  : S extends { kind: "number" } ? number
  : S extends { kind: "flag" } ? boolean
  : S extends { kind: "list"; of: infer I } ? readonly ValueOf<I>[]
  : S extends { kind: "object"; fields: infer F } ? FieldsOf<F>
  : never;

/** The value that a file with these fields has once it was read. */
export type FieldsOf<F> = { [K in keyof F as F[K] extends { required: true } ? K : never]: ValueOf<F[K]> } & {
  [K in keyof F as F[K] extends { required: true } ? never : K]?: ValueOf<F[K]>;
};

/** What would be right, for people: completes "it takes …". */
export function expected(spec: FieldSpec): string {
  switch (spec.kind) {
    case "text":
      return spec.pattern === undefined ? `a text of ${spec.empty === true ? "0" : "1"} to ${String(spec.maxLength)} characters` : spec.pattern.means;
    case "choice":
      return spec.choices.map((choice) => JSON.stringify(choice)).join(" or ");
    case "flag":
      return "true or false";
    case "list":
      return `a list of at most ${String(spec.maxItems)}, each ${expected(spec.of)}`;
    case "object":
      return `an object with ${Object.keys(spec.fields).join(", ")}`;
    case "number":
      return numberExpected(spec);
  }
}

function numberExpected({ unit, min, max, above, whole }: NumberSpec): string {
  const from = above === true ? `more than ${String(min)}` : max === undefined ? `${String(min)} or more` : `from ${String(min)}`;
  return `${whole === true ? "a whole number" : "a number"} (${unit}), ${from}${max === undefined ? "" : `${above === true ? " and at most" : " to"} ${String(max)}`}`;
}
