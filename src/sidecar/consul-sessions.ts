/**
 * Consul sessions and the locks that they hold: what placement needs so that one acts at a time. The adapter is
 * consul/session-calls.ts. Every call rejects with ConsulError.
 */
import type { CallOptions } from "./consul-api.js";

export interface SessionSpec {
  name: string;
  /** Consul takes 10 s or more, and ends a session that was not renewed after one to two times that. */
  ttlMs: number;
  /** How long a lock stays taken after its session ended. */
  lockDelayMs: number;
}

export interface ConsulSessions {
  /** Of this agent's node: it ends with the node too. Its locks are deleted when it ends. Resolves with its ID. */
  createSession(spec: SessionSpec, options?: CallOptions): Promise<string>;
  /** False: it has ended. */
  renewSession(id: string, options?: CallOptions): Promise<boolean>;
  /** Resolves too where it has ended before. */
  destroySession(id: string, options?: CallOptions): Promise<void>;
  /** Creates or takes the key for the session; false where another one holds it. */
  acquireLock(key: string, session: string, value: string, options?: CallOptions): Promise<boolean>;
}
