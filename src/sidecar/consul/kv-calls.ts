/** The key/value store. Indexes of entries are decimal text, exact above 2^53 too. */
import type { BlockingOptions, ConsulApi, KvEntry, KvOperation } from "../consul-api.js";
import { pathOf } from "./path.js";
import { datacenterQuery, read, readSpec } from "./reads.js";
import { base64, base64SizeBytes, fields, json, list, name, protocolError } from "./shape.js";
import { type Answer, type CallSpec, LIST_ANSWER_BYTES, SMALL_ANSWER_BYTES, type Transport } from "./transport.js";

type KvCalls = Pick<ConsulApi, "kvGet" | "kvList" | "kvFolders" | "kvPut" | "kvDelete" | "kvTxn">;

export function kvCalls(transport: Transport, onSkipped: (operation: string, count: number) => void): KvCalls {
  const write = (operation: string, method: "PUT" | "DELETE", key: string): CallSpec => {
    const query = datacenterQuery(transport.datacenter);
    const needs = `key:write on "${key}"`;
    return { operation, method, path: pathOf(operation, "/kv", key), query, needs, maxBytes: SMALL_ANSWER_BYTES };
  };
  const readOf = (operation: string, path: string, needs: string, maxBytes: number, options: BlockingOptions): CallSpec => {
    return { operation, method: "GET", path, needs, maxBytes, mayBeAbsent: true, ...readSpec(options, transport.datacenter) };
  };
  return {
    async kvGet(key, options = {}) {
      const operation = "kv.get";
      const path = pathOf(operation, "/kv", key);
      const call = readOf(operation, path, `key:read on "${key}"`, SMALL_ANSWER_BYTES, options);
      const answer = await transport.call(call, options);
      if (answer.status === 404) return read(operation, answer, null);
      const decode = (raw: unknown) => kvEntry(raw, Infinity)?.entry;
      const [entry] = list(operation, exactIndexes(operation, answer), decode, () => {});
      if (entry === undefined || entry.key !== key) throw protocolError(operation, "another key than the one asked for");
      return read(operation, answer, entry);
    },
    async kvList(prefix, options = {}) {
      const operation = "kv.list";
      const path = prefix === "" ? "/kv/" : pathOf(operation, "/kv", prefix);
      const call = readOf(operation, path, `key:read on prefix "${prefix}"`, options.maxAnswerBytes ?? LIST_ANSWER_BYTES, options);
      const answer = await transport.call({ ...call, query: { ...call.query, recurse: "true" } }, options);
      if (answer.status === 404) return { ...read(operation, answer, []), oversized: [] };
      const limit = options.maxValueBytes ?? Infinity;
      const decode = (raw: unknown) => kvEntry(raw, limit);
      const raw = exactIndexes(operation, answer);
      const found = list(operation, raw, decode, (count) => onSkipped(operation, count));
      const oversized = found.filter(({ isOversized }) => isOversized).map(({ entry }) => entry.key);
      return { ...read(operation, answer, found.map(({ entry }) => entry)), oversized };
    },
    async kvFolders(prefix, options = {}) {
      const operation = "kv.folders";
      const call = readOf(operation, pathOf(operation, "/kv", prefix), `key:list on prefix "${prefix}"`, LIST_ANSWER_BYTES, options);
      const answer = await transport.call({ ...call, query: { ...call.query, keys: "true", separator: "/" } }, options);
      if (answer.status === 404) return read(operation, answer, []);
      const keys = list(operation, json(operation, answer), name, (count) => onSkipped(operation, count));
      // What lies directly below the prefix comes without a slash.
      return read(operation, answer, keys.filter((key) => key.startsWith(prefix) && key.endsWith("/")).map((key) => key.slice(prefix.length, -1)));
    },
    async kvPut(key, value, options = {}) {
      const operation = "kv.put";
      const spec = write(operation, "PUT", key);
      const query = { ...spec.query, ...(options.cas !== undefined && { cas: options.cas }) };
      const body = { raw: typeof value === "string" ? Buffer.from(value) : value };
      const done = json(operation, await transport.call({ ...spec, query, body }, options));
      if (typeof done !== "boolean") throw protocolError(operation, "neither true nor false");
      // Without cas Consul has no reason to say no.
      if (!done && options.cas === undefined) throw protocolError(operation, "false for a put without cas");
      return done;
    },
    async kvDelete(key, options) {
      const operation = "kv.delete";
      const done = json(operation, await transport.call(write(operation, "DELETE", key), options));
      if (done !== true) throw protocolError(operation, "not true");
    },
    async kvTxn(operations, options) {
      const operation = "kv.txn";
      if (operations.length === 0) return; // Consul takes none for a read
      const spec = { operation, method: "PUT", path: "/txn", query: datacenterQuery(transport.datacenter), needs: "key:write", maxBytes: SMALL_ANSWER_BYTES } as const;
      const answer = await transport.call({ ...spec, body: { json: operations.map(txnOperation) } }, options);
      // What failed comes as 409, which errors.ts reads.
      if (fields(json(operation, answer))?.["Errors"] !== null) throw protocolError(operation, "errors in an answer of success");
    },
  };
}

function txnOperation(operation: KvOperation): unknown {
  if ("delete" in operation) return { KV: { Verb: "delete", Key: operation.delete } };
  return { KV: { Verb: "set", Key: operation.set, Value: Buffer.from(operation.value).toString("base64") } };
}

/**
 * The JSON of entries, their indexes as text: JSON.parse would round what is above 2^53. Inside a JSON
 * string every quote is escaped, so that the pattern matches properties only.
 */
function exactIndexes(operation: string, answer: Answer): unknown {
  const text = answer.text.replace(/"ModifyIndex":(\s*)(\d{1,20})(?=\s*[,}])/g, '"ModifyIndex":$1"$2"');
  return json(operation, { ...answer, text });
}

/** An entry over the limit keeps its key and index, and comes without its bytes. */
function kvEntry(raw: unknown, maxValueBytes: number): { entry: KvEntry; isOversized: boolean } | undefined {
  const stored = fields(raw);
  const key = name(stored?.["Key"]);
  const modifyIndex = name(stored?.["ModifyIndex"]);
  const text = stored?.["Value"];
  if (key === undefined || modifyIndex === undefined || !/^\d+$/.test(modifyIndex)) return undefined;
  if (typeof text === "string" && base64SizeBytes(text) > maxValueBytes) {
    return { entry: { key, value: new Uint8Array(0), modifyIndex }, isOversized: true };
  }
  const value = base64(text);
  return value === undefined ? undefined : { entry: { key, value, modifyIndex }, isOversized: false };
}
