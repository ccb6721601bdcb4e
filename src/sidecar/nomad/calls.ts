/**
 * A call of Nomad's HTTP API: query, token, what its status means, and that its body has the shape it must. Which calls
 * there are is client.ts and jobs-client.ts. The token travels in `X-Nomad-Token` and appears in no message.
 */
import { NomadError, type NomadCallOptions, type NomadErrorCode } from "../nomad-api.js";
import { ShapeError } from "./decode.js";
import type { NomadSettings } from "./settings.js";
import { loadTls } from "./tls.js";
import { type NomadTransport, nomadTransport } from "./transport.js";

export interface NomadLimits {
  timeoutMs: number;
  /** An agent or node is some 10 kB; an allocation, which carries its job, as much each. */
  maxBytes: number;
}

export const DEFAULT_NOMAD_LIMITS: NomadLimits = { timeoutMs: 5_000, maxBytes: 16 * 1024 * 1024 };

export interface NomadCall {
  /** As it is named in errors. */
  operation: string;
  /** The ACL rules that it needs; Nomad's 403 does not say. */
  rules: string;
  method?: "GET" | "PUT" | "POST" | "DELETE";
  path: string;
  query?: Readonly<Record<string, string>>;
  body?: unknown;
  /** Any server may answer, so that it works without a leader too: for readings, not for decisions. */
  stale?: boolean;
}

export class NomadCalls {
  private constructor(
    private readonly settings: NomadSettings,
    private readonly limits: NomadLimits,
    private readonly transport: NomadTransport,
  ) {}

  /** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
  static async create(settings: NomadSettings, limits: NomadLimits): Promise<NomadCalls> {
    return new NomadCalls(settings, limits, nomadTransport(settings.endpoint, settings.address, await loadTls(settings.tls)));
  }

  async get<T>(call: NomadCall, decode: (value: unknown, index: string | undefined) => T, options: NomadCallOptions): Promise<T> {
    const { status, body, index } = await this.transport.answer(this.#request(call, options));
    if (status !== 200) throw this.#refusal(call, status, body, options);
    try {
      return decode(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)), index);
    } catch (cause) {
      const what = cause instanceof ShapeError ? cause.message : "the body is not JSON";
      throw new NomadError("protocol", call.operation, `Nomad ${call.operation}: not an answer of Nomad's: ${what}`, { address: this.settings.address }, { cause });
    }
  }

  /** Resolves when the answer begins. */
  async stream(call: NomadCall, options: NomadCallOptions): Promise<AsyncIterable<Uint8Array>> {
    const answer = await this.transport.stream(this.#request(call, options));
    if ("chunks" in answer) return answer.chunks;
    throw this.#refusal(call, answer.status, answer.body, options);
  }

  #request({ operation, method = "GET", path, query = {}, body, stale = false }: NomadCall, options: NomadCallOptions) {
    const { settings, limits } = this;
    const own = { ...(settings.region === undefined ? {} : { region: settings.region }), ...(settings.namespace === undefined ? {} : { namespace: settings.namespace }) };
    const all = new URLSearchParams({ ...(stale ? { stale: "true" } : {}), ...own, ...query });
    const headers: Record<string, string> = { accept: "application/json" };
    const token = options.token ?? settings.token;
    if (token !== undefined) headers["x-nomad-token"] = token;
    return {
      operation, method, headers,
      path: `${path}?${all.toString()}`,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      timeoutMs: options.timeoutMs ?? limits.timeoutMs,
      maxBytes: limits.maxBytes,
      ...(options.signal && { signal: options.signal }),
    };
  }

  #refusal({ operation, rules }: NomadCall, status: number, body: Uint8Array, { token }: NomadCallOptions): NomadError {
    const said = excerpt(body, [this.settings.token, token]);
    const code = codeOf(status, said);
    const fields = { status, address: this.settings.address, ...(code === "permission" && { permission: rules }) };
    const hint = code === "permission" ? ` (needs ${rules})` : "";
    return new NomadError(code, operation, `Nomad ${operation}: ${String(status)} ${said}${hint}`, fields);
  }
}

/** The first words of an error's body, on one line; a proxy that echoes our request must not put a token in a log. */
function excerpt(body: Uint8Array, secrets: readonly (string | undefined)[]): string {
  let said = new TextDecoder().decode(body);
  for (const secret of secrets) if (secret !== undefined && secret !== "") said = said.replaceAll(secret, "<token>");
  return said.replace(/[\s\p{Cc}]+/gu, " ").trim().slice(0, 400);
}

/** Nomad says that its servers are away, that an index was not the expected one, and that a job is not valid, in words only, with status 500. */
function codeOf(status: number, said: string): NomadErrorCode {
  if (status === 403) return "permission";
  if (status === 404) return "not-found";
  if (status === 429) return "rate-limited";
  if (status >= 500) {
    if (/no cluster leader|no servers|no path to region|no known servers/i.test(said)) return "no-leader";
    if (/enforcing job modify index/i.test(said)) return "conflict";
    return /validation failed/i.test(said) ? "rejected" : "server";
  }
  return status >= 400 ? "rejected" : "protocol";
}
