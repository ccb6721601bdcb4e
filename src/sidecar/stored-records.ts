/**
 * Decisions and policies as they lie in Consul's KV: bytes, which whoever reads them verifies. The sidecar serves them
 * by it, and the command line reads by it where it asks Consul itself.
 */
import { POLICY_NAMES_PREFIX, USAGE_PREFIX } from "../beacon/documents.js";
import { isAskedFor, placeOfUsage, type UsageQuery } from "../beacon/usage-document.js";
import { decisionKey } from "../policy/decision-document.js";
import { MAX_STORED_BYTES, policyBytesKey, policyNameKey } from "../policy/stored-policy.js";
import type { ConsulApi, ReadOptions } from "./consul-api.js";
import { whole } from "./whole-read.js";

export interface StoredDocument {
  name: string;
  value: Uint8Array;
}

/** Undefined: nothing lies there. */
export interface StoredRecords {
  decision(id: string, options?: ReadOptions): Promise<Uint8Array | undefined>;
  /** The signed record of a name, and all of them in the order of their names. */
  policy(name: string, options?: ReadOptions): Promise<Uint8Array | undefined>;
  policies(options?: ReadOptions): Promise<StoredDocument[]>;
  policyBytes(hash: string, options?: ReadOptions): Promise<Uint8Array | undefined>;
  /** Statements of what nodes carried, by their keys. */
  usage(query: UsageQuery, options?: ReadOptions): Promise<StoredDocument[]>;
}

/** Consul's own limit of a value. */
const MAX_USAGE_BYTES = 512 * 1024;

/** Every call rejects with ConsulError. `at` holds for all of them. */
export function storedIn(consul: Pick<ConsulApi, "kvGet" | "kvList">, at: ReadOptions = {}): StoredRecords {
  const get = async (key: string, options?: ReadOptions) => (await consul.kvGet(key, { ...at, ...options })).value?.value;
  return {
    decision: (id, options) => get(decisionKey(id), options),
    policy: (name, options) => get(policyNameKey(name), options),
    policyBytes: (hash, options) => get(policyBytesKey(hash), options),
    usage: async (query, options) => {
      const reading = consul.kvList(USAGE_PREFIX, { ...at, ...options, maxValueBytes: MAX_USAGE_BYTES });
      const { value } = await whole(reading, "kv.list", `key:read below "${USAGE_PREFIX}"`);
      return value.flatMap((entry) => {
        const place = placeOfUsage(entry.key);
        return place !== undefined && isAskedFor(query, place) ? [{ name: entry.key, value: entry.value }] : [];
      });
    },
    policies: async (options) => {
      const reading = consul.kvList(POLICY_NAMES_PREFIX, { ...at, ...options, maxValueBytes: MAX_STORED_BYTES });
      const { value } = await whole(reading, "kv.list", `key:read below "${POLICY_NAMES_PREFIX}"`);
      return value.map((entry) => ({ name: entry.key.slice(POLICY_NAMES_PREFIX.length), value: entry.value }));
    },
  };
}
