/**
 * One exchange with Consul: token, deadline, abort, cap on the answer, and every failure as a
 * ConsulError. What the answer means is for the calls (agent-calls.ts and its neighbours).
 */
import { EventEmitter } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { type CallOptions, ConsulError } from "../consul-api.js";
import { BodySink, type Overrun } from "./body-sink.js";
import { type CallContext, socketError, statusError } from "./errors.js";
import type { PapiClient, PapiRequest, PapiState } from "./papi.js";
import { TokenFileError, type TokenSource } from "./token.js";

/** Shorter than any answer worth waiting for; a Consul without a leader holds a call for some 7 s. */
const DEFAULT_TIMEOUT_MS = 10_000;
/** One value (at most 512 KiB, some 700 KiB in base64), one agent, one ring of events. */
export const SMALL_ANSWER_BYTES = 2 * 1024 * 1024;
/** A list over the whole cluster: thousands of nodes. */
export const LIST_ANSWER_BYTES = 32 * 1024 * 1024;

export interface CallSpec {
  operation: string;
  method: "GET" | "PUT" | "DELETE";
  /** Below /v1, already encoded. */
  path: string;
  query?: Record<string, string>;
  body?: { json: unknown } | { raw: Uint8Array };
  /** The ACL rule that the call needs. */
  needs: string;
  maxBytes: number;
  /** A 404 is an answer: nothing is there as of its index, which `read` insists on. */
  mayBeAbsent?: true;
  /** How long Consul may hold the answer back on purpose; added to the deadline. */
  heldMs?: number;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

interface Limits {
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

interface Outcome {
  err: PapiState["err"];
  sink: BodySink;
  overrun: Overrun | null;
}

export class Transport {
  constructor(
    private readonly client: PapiClient,
    private readonly tokens: TokenSource,
    /** For messages. */
    readonly address: string,
    /** Of every call that is not the local agent's alone; null: the agent's own. */
    readonly datacenter: string | null,
  ) {}

  /** The answer to a call that succeeded (2xx); else throws ConsulError. */
  async call(spec: CallSpec, options: CallOptions = {}): Promise<Answer> {
    const context = { operation: spec.operation, address: this.address, needs: spec.needs };
    const timeoutMs = (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) + (spec.heldMs ?? 0);
    const endsAtMs = performance.now() + timeoutMs;
    const token = await this.#token(context);
    try {
      return await this.#exchange(spec, context, token, { timeoutMs, signal: options.signal });
    } catch (error) {
      if (!(error instanceof ConsulError) || error.code !== "permission") throw error;
      if (!(await this.tokens.changedSince(token).catch(() => false))) throw error;
      const left = { timeoutMs: Math.max(1, endsAtMs - performance.now()), signal: options.signal };
      return this.#exchange(spec, context, await this.#token(context), left);
    }
  }

  async #token(context: CallContext): Promise<string | null> {
    try {
      return await this.tokens.current();
    } catch (error) {
      if (!(error instanceof TokenFileError)) throw error;
      const { operation, address } = context;
      throw new ConsulError("permission", operation, `${operation}: ${error.message}`, { address });
    }
  }

  async #exchange(spec: CallSpec, context: CallContext, token: string | null, limits: Limits): Promise<Answer> {
    const { timeoutMs, signal } = limits;
    if (signal?.aborted === true) throw aborted(context);
    const ctx = new EventEmitter();
    let overrun: Overrun | null = null;
    const sink = new BodySink(spec.maxBytes, (why) => {
      overrun = why;
      ctx.emit("cancel");
    });
    const onAbort = () => ctx.emit("cancel");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const request = papiRequest(spec, token, timeoutMs, ctx, sink);
      // `next` resolves with a value only where it is not empty, hence the object.
      const { err } = await this.client._request<PapiState>(request, (state, next) => next(false, state));
      return this.#outcome(spec, context, limits, { err, sink, overrun });
    } catch (error) {
      if (error instanceof ConsulError) throw error;
      throw socketError(context, error instanceof Error ? error : new Error(String(error)));
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #outcome(spec: CallSpec, context: CallContext, { timeoutMs, signal }: Limits, { err, sink, overrun }: Outcome): Answer {
    const { operation, address } = context;
    const { answer } = sink;
    if (answer !== null && (err === undefined || err.isResponse === true || overrun === "error-text-complete")) {
      const { statusCode = 0, headers } = answer;
      const isAbsence = statusCode === 404 && spec.mayBeAbsent === true;
      if (isAbsence || (statusCode >= 200 && statusCode < 300)) return { status: statusCode, headers, text: sink.text() };
      throw statusError(context, statusCode, sink.text());
    }
    if (overrun === "too-large") {
      const message = `${operation}: the answer is over the ${sink.limitBytes} bytes that are read of it`;
      throw new ConsulError("too-large", operation, message, { address });
    }
    if (signal?.aborted === true) throw aborted(context);
    if (err?.isTimeout === true) {
      const message = `${operation}: no whole answer from ${address} within ${Math.round(timeoutMs)} ms`;
      throw new ConsulError("timeout", operation, message, { address });
    }
    // Asked last: a call that we ended ourselves breaks its connection too.
    if (overrun === "truncated") {
      const message = `${operation}: the connection to ${address} broke in the middle of the answer`;
      throw new ConsulError("unreachable", operation, message, { address });
    }
    throw socketError(context, err ?? new Error("no answer"));
  }
}

function aborted(context: CallContext): ConsulError {
  return new ConsulError("aborted", context.operation, `${context.operation}: aborted`, { address: context.address });
}

function papiRequest(
  spec: CallSpec,
  token: string | null,
  timeoutMs: number,
  ctx: EventEmitter,
  sink: BodySink,
): PapiRequest {
  const headers: Record<string, string> = {};
  if (token !== null) headers["x-consul-token"] = token;
  const request: PapiRequest = {
    name: spec.operation,
    method: spec.method,
    path: spec.path,
    query: spec.query ?? {},
    headers,
    timeout: timeoutMs,
    ctx,
    pipe: () => sink,
  };
  if (spec.body !== undefined) {
    const { body } = spec;
    headers["content-type"] = "json" in body ? "application/json" : "application/octet-stream";
    request.body = "json" in body ? Buffer.from(JSON.stringify(body.json)) : Buffer.from(body.raw);
  }
  return request;
}
