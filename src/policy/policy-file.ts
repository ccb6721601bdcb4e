/**
 * A policy file: bytes to Policy, or everything that is wrong with them. A file without `version` is the ancestor's,
 * whose unknown fields are warned about; version 2 is ours, where they are errors. NaN and infinity are no JSON, and a
 * number too large for one (1e999) is refused where it stands.
 */
import { createHash } from "node:crypto";
import type { Policy } from "./policy.js";
import { type FileV1, type FileV2, VERSION_1, VERSION_2 } from "./policy-fields.js";
import { policyOfV1 } from "./policy-v1.js";
import { contradictionsIn, policyOfV2 } from "./policy-v2.js";
import { type Findings, type Problem, readFields } from "./read-fields.js";

/** A decision record carries the file's bytes. */
export const MAX_POLICY_BYTES = 64 * 1024;

export interface PolicyFile {
  policy: Policy;
  /** As they were read: what is hashed, stored, and put into decision records. */
  bytes: Uint8Array;
  /** Lower-case hex SHA-256 of the bytes. */
  hash: string;
  warnings: readonly Problem[];
}

export type ReadPolicy = { ok: true; file: PolicyFile } | { ok: false; problems: readonly Problem[] };

/** Never throws. */
export function readPolicy(bytes: Uint8Array): ReadPolicy {
  if (bytes.length > MAX_POLICY_BYTES) return failed(`is ${String(bytes.length)} bytes; a policy file has at most ${String(MAX_POLICY_BYTES)}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    return failed(`is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const version = isObject(value) ? value["version"] : undefined;
  const read = version === undefined ? readV1(value) : version === 2 ? readV2(value) : undefined;
  if (read === undefined) {
    return { ok: false, problems: [{ path: "version", message: `${JSON.stringify(version)} is no version; it takes 2, or is left out for a file of the first IBRL cluster` }] };
  }
  if (read.problems.length > 0) return { ok: false, problems: read.problems };
  return { ok: true, file: { policy: read.policy(), bytes: Uint8Array.from(bytes), hash: createHash("sha256").update(bytes).digest("hex"), warnings: read.unknown } };
}

type Read = Findings & { policy: () => Policy };

function readV1(value: unknown): Read {
  const { value: file, ...findings } = readFields(VERSION_1, withoutNulls(value));
  return { ...findings, policy: () => policyOfV1(file as FileV1) };
}

function readV2(value: unknown): Read {
  const { value: file, problems, unknown } = readFields(VERSION_2, value);
  const all = [...problems, ...unknown];
  return { problems: all.length > 0 ? all : contradictionsIn(file as FileV2), unknown: [], policy: () => policyOfV2(file as FileV2) };
}

/** The ancestor's parser (Go) reads null as absent, and writes it for an empty list. */
function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== null).map(([key, item]) => [key, withoutNulls(item)]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function failed(message: string): ReadPolicy {
  return { ok: false, problems: [{ path: "", message }] };
}
