/**
 * Reading JSON that somebody else wrote. A wrong whole is a ConsulError with code `protocol`; a wrong
 * entry in a list is left out and counted, so that one bad neighbour does not hide the others.
 */
import { ConsulError } from "../consul-api.js";
import { excerpt } from "./errors.js";
import type { Answer } from "./transport.js";

export type Fields = Readonly<Record<string, unknown>>;

/** Undefined: the value is not an entry that we understand. */
export type Decode<T> = (raw: unknown) => T | undefined;

export function protocolError(operation: string, problem: string): ConsulError {
  return new ConsulError("protocol", operation, `${operation}: not an answer of Consul: ${problem}`);
}

export function json(operation: string, { headers, text }: Answer): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const type = excerpt(headers["content-type"] ?? "no content type");
    throw protocolError(operation, `not JSON (${type}): ${excerpt(text.slice(0, 200)) || "empty"}`);
  }
}

export function whole<T>(operation: string, answer: Answer, decode: Decode<T>): T {
  const value = decode(json(operation, answer));
  if (value === undefined) throw protocolError(operation, "a field is missing or of another type");
  return value;
}

/** A list none of whose entries is understood is not the list that was asked for. */
export function list<T>(operation: string, raw: unknown, decode: Decode<T>, onSkipped: (count: number) => void): T[] {
  if (!Array.isArray(raw)) throw protocolError(operation, "not a list");
  const values = raw.map(decode).filter((value) => value !== undefined);
  const skipped = raw.length - values.length;
  if (raw.length > 0 && values.length === 0) throw protocolError(operation, `none of ${skipped} entries is understood`);
  if (skipped > 0) onSkipped(skipped);
  return values;
}

export function fields(raw: unknown): Fields | undefined {
  return typeof raw === "object" && raw !== null && !Array.isArray(raw) ? (raw as Fields) : undefined;
}

export function string(raw: unknown): string | undefined {
  return typeof raw === "string" ? raw : undefined;
}

/** A name: a string that is not empty. */
export function name(raw: unknown): string | undefined {
  return typeof raw === "string" && raw !== "" ? raw : undefined;
}

export function finite(raw: unknown): number | undefined {
  return typeof raw === "number" && Number.isFinite(raw) ? raw : undefined;
}

/** The health endpoint leaves a port of 0 out. */
export function port(raw: unknown): number | undefined {
  if (raw === undefined) return 0;
  return Number.isInteger(raw) && (raw as number) >= 0 && (raw as number) <= 65_535 ? (raw as number) : undefined;
}

/** Go writes an empty list as null. */
export function strings(raw: unknown): string[] | undefined {
  if (raw === null) return [];
  return Array.isArray(raw) && raw.every((item) => typeof item === "string") ? raw : undefined;
}

export function stringMap(raw: unknown): Record<string, string> | undefined {
  if (raw === null) return {};
  const map = fields(raw);
  if (map === undefined) return undefined;
  const entries = Object.entries(map);
  // fromEntries defines properties, so a key such as __proto__ stays a plain key.
  return entries.every((entry): entry is [string, string] => typeof entry[1] === "string") ? Object.fromEntries(entries) : undefined;
}

/** Standard base64 with its padding; null, which Go writes for no bytes, is empty. */
export function base64(raw: unknown): Uint8Array | undefined {
  if (raw === null) return new Uint8Array(0);
  return isBase64(raw) ? new Uint8Array(Buffer.from(raw, "base64")) : undefined;
}

export function isBase64(raw: unknown): raw is string {
  return typeof raw === "string" && raw.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(raw);
}

export function base64SizeBytes(text: string): number {
  return (text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
}
