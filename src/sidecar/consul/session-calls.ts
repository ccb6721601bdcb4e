/** Sessions of the local agent's node, and locks in KV. */
import type { ConsulSessions } from "../consul-sessions.js";
import { pathOf } from "./path.js";
import { datacenterQuery } from "./reads.js";
import { fields, json, name, protocolError, whole } from "./shape.js";
import { type CallSpec, SMALL_ANSWER_BYTES, type Transport } from "./transport.js";

const NEEDS = "session:write on this node";

export function sessionCalls(transport: Transport): ConsulSessions {
  const query = () => datacenterQuery(transport.datacenter);
  const put = (operation: string, path: string): CallSpec => ({ operation, method: "PUT", path, query: query(), needs: NEEDS, maxBytes: SMALL_ANSWER_BYTES });
  return {
    async createSession({ name: label, ttlMs, lockDelayMs }, options) {
      const operation = "session.create";
      const session = { Name: label, TTL: `${String(ttlMs)}ms`, LockDelay: `${String(lockDelayMs)}ms`, Behavior: "delete" };
      const answer = await transport.call({ ...put(operation, "/session/create"), body: { json: session } }, options);
      return whole(operation, answer, (raw) => name(fields(raw)?.["ID"]));
    },
    async renewSession(id, options) {
      const operation = "session.renew";
      const call = { ...put(operation, pathOf(operation, "/session/renew", id)), mayBeAbsent: true } as const;
      const answer = await transport.call(call, options);
      if (answer.status === 404) return false;
      whole(operation, answer, (raw) => name(fields(Array.isArray(raw) ? raw[0] : undefined)?.["ID"]));
      return true;
    },
    async destroySession(id, options) {
      const operation = "session.destroy";
      const done = json(operation, await transport.call(put(operation, pathOf(operation, "/session/destroy", id)), options));
      if (done !== true) throw protocolError(operation, "not true");
    },
    async acquireLock(key, session, value, options) {
      const operation = "kv.acquire";
      const call = { ...put(operation, pathOf(operation, "/kv", key)), needs: `key:write on "${key}"`, query: { ...query(), acquire: session } };
      const done = json(operation, await transport.call({ ...call, body: { raw: Buffer.from(value) } }, options));
      if (typeof done !== "boolean") throw protocolError(operation, "neither true nor false");
      return done;
    },
  };
}
