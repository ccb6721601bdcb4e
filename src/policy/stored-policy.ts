/**
 * A policy in Consul's KV: its bytes under their hash, and under its name a record of who put which bytes there, signed by
 * the sidecar that did. Bytes that are asked for by hash need nobody's word; by name it is the signer's.
 */
import { createHash, type KeyObject } from "node:crypto";
import { integer, messageIn, RecordError, text } from "../beacon/codec.js";
import { POLICY_BYTES_PREFIX, POLICY_NAMES_PREFIX } from "../beacon/documents.js";
import { openStatement, type Purpose, seal, type Signed } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import { reject, type Rejection } from "../beacon/rejection.js";
import { ibrl } from "../proto/messages.js";

const KINDS = ["file", "module"] as const;
const HASH_BYTES = 32;
/** Consul's limit for a KV value. */
export const MAX_STORED_BYTES = 512 * 1024;
export const POLICY_NAME_RULE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const POLICY_HASH_RULE = /^[0-9a-f]{64}$/;

export interface StoredPolicy {
  name: string;
  kind: (typeof KINDS)[number];
  /** Lower-case hex SHA-256 of the bytes. */
  hash: string;
  sizeBytes: number;
  /** Unix milliseconds by the sidecar that signs. */
  putAtMs: number;
  /** Whom that sidecar put it there for: a certificate's name, a Nomad token's accessor, or `bearer`. */
  putBy: string;
}

export const POLICY: Purpose<StoredPolicy> = {
  domain: "ibrl/v1/policy",
  type: ibrl.v1.PayloadType.POLICY,
  maxBytes: 4 * 1024,
  encode: encodePolicy,
  decode: (payload) => readPolicyRecord(messageIn((bytes) => ibrl.v1.Policy.decode(bytes), payload)),
};

export function policyNameKey(name: string): string {
  return `${POLICY_NAMES_PREFIX}${name}`;
}
export function policyBytesKey(hash: string): string {
  return `${POLICY_BYTES_PREFIX}${hash}`;
}
export function policyHash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What is put under the policy's name. Throws RecordError. */
export function sealStoredPolicy(record: StoredPolicy, identity: { publicKey: Uint8Array; privateKey: KeyObject }): string {
  const sealed = seal(POLICY, record, identity);
  return JSON.stringify({ v: 1, policy: readable(record), sealed: Buffer.from(sealed).toString("base64") }, null, 1);
}

/** What lies under `name`, verified: signature, payload, place, and the readable copy. Never throws. */
export function openStoredPolicy(name: string, value: Uint8Array, keys: KeyAdmission): { ok: true; signed: Signed<StoredPolicy> } | Rejection {
  let document: Record<string, unknown>;
  try {
    document = JSON.parse(Buffer.from(value).toString("utf8")) as Record<string, unknown>;
    if (document["v"] !== 1 || typeof document["sealed"] !== "string") return reject("malformed-envelope", "not a policy's document");
  } catch {
    return reject("malformed-envelope", "not a policy's document");
  }
  const opened = openStatement(POLICY, Buffer.from(document["sealed"], "base64"), keys);
  if (!opened.ok) return opened;
  const { record } = opened.signed;
  if (record.name !== name) return reject("wrong-node", `policy ${record.name} lies in the place of ${name}`);
  if (JSON.stringify(document["policy"]) !== JSON.stringify(readable(record))) return reject("readable-mismatch", "the readable copy says something else than the sealed record");
  return { ok: true, signed: opened.signed };
}

function readable({ putAtMs, ...record }: StoredPolicy) {
  return { ...record, putAt: new Date(putAtMs).toISOString() };
}

function encodePolicy({ name, kind, hash, sizeBytes, putAtMs, putBy }: StoredPolicy): Uint8Array {
  const payload = { name, kind: KINDS.indexOf(kind) + 1, hash: Buffer.from(hash, "hex"), size_bytes: sizeBytes, put_at_ms: putAtMs, put_by: putBy };
  readPolicyRecord(payload); // the same bounds for what we sign as for what we read
  return ibrl.v1.Policy.encode(payload).finish();
}

function readPolicyRecord(m: ibrl.v1.Policy.$Properties): StoredPolicy {
  const kind = KINDS[(m.kind ?? 0) - 1];
  if (kind === undefined) throw new RecordError("kind", `${String(m.kind)} stands for nothing`);
  if (!POLICY_NAME_RULE.test(m.name ?? "")) throw new RecordError("name", "takes 1 to 64 letters, digits, . _ -, the first a letter or digit");
  if (m.hash?.length !== HASH_BYTES) throw new RecordError("hash", `${String(m.hash?.length ?? 0)} bytes instead of ${String(HASH_BYTES)}`);
  return {
    name: m.name ?? "",
    kind,
    hash: Buffer.from(m.hash).toString("hex"),
    sizeBytes: integer("size_bytes", m.size_bytes, MAX_STORED_BYTES),
    putAtMs: integer("put_at_ms", m.put_at_ms, 8.64e15),
    putBy: text("put_by", m.put_by),
  };
}
