/**
 * A message as the ancestor's HTTP clients read it: proto names, bytes base64, int64 as numbers, empty fields left
 * out. Numbers and booleans that are present are written, zero too: here absent means unknown (contract.ts).
 */
import Long from "long";

export type Json = string | number | boolean | Json[] | { [name: string]: Json };

/** `value` is a $Properties object of src/proto; members that hold nothing are left out. */
export function ancestorJson(value: object): { [name: string]: Json } {
  const json: { [name: string]: Json } = {};
  for (const [name, member] of Object.entries(value)) {
    const written = jsonOf(member);
    if (written !== undefined) json[name] = written;
  }
  return json;
}

function jsonOf(value: unknown): Json | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (Long.isLong(value)) return value.toNumber();
  if (value instanceof Uint8Array) return value.length === 0 ? undefined : Buffer.from(value).toString("base64");
  if (Array.isArray(value)) {
    // Nothing is left out of a list: an empty element holds its place, as encoding/json has it.
    return value.length === 0 ? undefined : value.map((element) => jsonOf(element) ?? "");
  }
  return typeof value === "object" ? ancestorJson(value) : undefined;
}
