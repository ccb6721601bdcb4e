/**
 * The part of the `consul` package that is used: its request machinery (papi), typed here because its
 * declarations leave it out. Its high-level calls are not used: they touch answers before anybody can
 * check them (`kv.get` on an answer of `[null]` throws inside the socket's end handler, which ends the
 * process), drop registration fields they do not know, and turn a lost CAS into `undefined`.
 */
import type { EventEmitter } from "node:events";
import type { Agent } from "node:http";
import type { Writable } from "node:stream";
import Consul from "consul";

export interface PapiRequest {
  name: string;
  method: "GET" | "PUT" | "DELETE";
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body?: Buffer;
  /** Milliseconds, for the whole exchange. */
  timeout: number;
  /** Emitting `cancel` ends the exchange. */
  ctx: EventEmitter;
  pipe: () => Writable;
}

export interface PapiState {
  err: (Error & { isTimeout?: boolean; isAbort?: boolean; isResponse?: boolean; code?: unknown }) | undefined;
}

export interface PapiClient {
  /** Resolves with the second argument of `next(false, value)`. */
  _request<T>(
    request: PapiRequest,
    finish: (state: PapiState, next: (error: false, value: T) => void) => void,
  ): Promise<T>;
  destroy(): void;
}

export function papiClient(baseUrl: string, agent: Agent, headers: Record<string, string>): PapiClient {
  const options = { baseUrl, agent, headers };
  return new Consul(options) as unknown as PapiClient;
}
