/**
 * Job templates: Nomad's job JSON, one file a driver (nomad/templates/docker.json, …), each replaceable by an operator.
 * A string that is exactly `{{name}}` is replaced by that value, whatever its type; no text is ever pasted into another,
 * so that nothing in a request can become a part of the job's structure. Pure but for reading the files.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVERS, type Driver } from "./reference.js";

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
export type JsonObject = { readonly [name: string]: Json };

export const PLACEHOLDERS = [
  "image", "path", "args", "jvm_args", "artifacts", "env", "cores", "cpu_mhz", "memory_mb",
  "host_ports", "mapped_ports", "dynamic_host_ports", "dynamic_mapped_ports", "port_labels", "port_map",
] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];
export type Values = Readonly<Record<Placeholder, Json>>;

/** A template that cannot be used; `file` names it. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  constructor(
    readonly file: string,
    problem: string,
  ) {
    super(`${file}: ${problem}`);
  }
}

/** Those of `folder` first, where it has them; the package's own otherwise. Throws TemplateError. */
export function loadTemplates(packaged: string, folder?: string): ReadonlyMap<Driver, JsonObject> {
  return new Map(
    DRIVERS.map((driver) => {
      const own = folder === undefined ? undefined : readIfThere(join(folder, `${driver}.json`));
      return [driver, own ?? readTemplate(join(packaged, `${driver}.json`))] as const;
    }),
  );
}

/** A copy of the template with its placeholders filled. */
export function fill(template: JsonObject, values: Values): JsonObject {
  return filled(template, values) as JsonObject;
}

function filled(value: Json, values: Values): Json {
  if (typeof value === "string") {
    const name = placeholderIn(value);
    return name === undefined ? value : values[name];
  }
  if (Array.isArray(value)) return value.map((item: Json) => filled(item, values));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, values)]));
}

function placeholderIn(text: string): Placeholder | undefined {
  const [, name] = /^\{\{([a-z_]+)\}\}$/.exec(text) ?? [];
  return PLACEHOLDERS.find((known) => known === name);
}

function readIfThere(file: string): JsonObject | undefined {
  try {
    return readTemplate(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function readTemplate(file: string): JsonObject {
  const text = readFileSync(file, "utf8");
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    throw new TemplateError(file, `is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  for (const problem of problemsOf(value)) throw new TemplateError(file, problem);
  return value as JsonObject;
}

function* problemsOf(value: Json): Generator<string> {
  const groups = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject)["TaskGroups"] : undefined;
  if (!Array.isArray(groups) || groups.length !== 1) yield "has no list TaskGroups of one group: a job of ours has one, which is moved as a whole";
  const wrong = /"[^"]*\{\{[^"]*"/.exec(JSON.stringify(value).replaceAll(new RegExp(`"\\{\\{(${PLACEHOLDERS.join("|")})\\}\\}"`, "g"), "0"));
  if (wrong !== null) yield `has ${wrong[0]}; a placeholder is a whole string and one of ${PLACEHOLDERS.join(", ")}`;
}
