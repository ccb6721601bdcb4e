/**
 * NomadApi over HTTP: which call, what its status means, and that its body has the shape it must. Specification:
 * Nomad's HTTP API, seen on 1.10.5. It reads only; the token travels in `X-Nomad-Token` and appears in no message.
 */
import { NomadError, type NomadApi, type NomadCallOptions, type NomadErrorCode } from "../nomad-api.js";
import { decodeAllocations, decodeNode, decodeSelf, decodeWaitingEvaluations, ShapeError } from "./decode.js";
import type { NomadSettings } from "./settings.js";
import { loadTls } from "./tls.js";
import { type NomadAnswer, type NomadTransport, nomadTransport } from "./transport.js";

export interface NomadLimits {
  timeoutMs: number;
  /** An agent or node is some 10 kB; an allocation, which carries its job, as much each. */
  maxBytes: number;
}

export const DEFAULT_NOMAD_LIMITS: NomadLimits = { timeoutMs: 5_000, maxBytes: 16 * 1024 * 1024 };

/** The ACL rules that each call needs; Nomad's 403 does not say. */
const RULES = {
  self: "agent:read",
  node: "node:read",
  allocations: "node:read, namespace:read-job",
  waitingEvaluations: "namespace:read-job",
} as const;
type Operation = keyof typeof RULES;

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadClient(settings: NomadSettings, limits: NomadLimits = DEFAULT_NOMAD_LIMITS): Promise<NomadApi> {
  const tls = await loadTls(settings.tls);
  return new NomadClient(settings, limits, nomadTransport(settings.endpoint, settings.address, tls));
}

class NomadClient implements NomadApi {
  constructor(
    private readonly settings: NomadSettings,
    private readonly limits: NomadLimits,
    private readonly transport: NomadTransport,
  ) {}

  self(options: NomadCallOptions = {}) {
    return this.get("self", "/v1/agent/self", decodeSelf, options);
  }

  node(nodeId: string, options: NomadCallOptions = {}) {
    return this.get("node", `/v1/node/${encodeURIComponent(nodeId)}`, decodeNode, options);
  }

  allocations(nodeId: string, options: NomadCallOptions = {}) {
    return this.get("allocations", `/v1/node/${encodeURIComponent(nodeId)}/allocations`, decodeAllocations, options);
  }

  waitingEvaluations(nodeId: string, options: NomadCallOptions = {}) {
    const filter = `NodeID == ${JSON.stringify(nodeId)} and (Status == "blocked" or Status == "pending")`;
    return this.get("waitingEvaluations", "/v1/evaluations", decodeWaitingEvaluations, options, { filter, namespace: "*" });
  }

  private async get<T>(
    operation: Operation,
    path: string,
    decode: (value: unknown) => T,
    options: NomadCallOptions,
    parameters: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    // `stale`: any server may answer, so that a sidecar on each node is no load on the leader, nor blind without one.
    const query = new URLSearchParams({ stale: "true" });
    if (this.settings.region !== undefined) query.set("region", this.settings.region);
    if (this.settings.namespace !== undefined) query.set("namespace", this.settings.namespace);
    for (const [name, value] of Object.entries(parameters)) query.set(name, value);
    const headers: Record<string, string> = { accept: "application/json" };
    if (this.settings.token !== undefined) headers["x-nomad-token"] = this.settings.token;
    const answer = await this.transport({
      operation,
      path: `${path}?${query.toString()}`,
      headers,
      timeoutMs: options.timeoutMs ?? this.limits.timeoutMs,
      maxBytes: this.limits.maxBytes,
      ...(options.signal && { signal: options.signal }),
    });
    if (answer.status !== 200) throw this.refusal(operation, answer);
    try {
      return decode(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(answer.body)));
    } catch (cause) {
      const what = cause instanceof ShapeError ? cause.message : "the body is not JSON";
      const message = `Nomad ${operation}: not an answer of Nomad's: ${what}`;
      throw new NomadError("protocol", operation, message, { address: this.settings.address }, { cause });
    }
  }

  private refusal(operation: Operation, { status, body }: NomadAnswer): NomadError {
    const said = this.excerpt(body);
    const code = codeOf(status, said);
    const fields = { status, address: this.settings.address, ...(code === "permission" && { permission: RULES[operation] }) };
    const hint = code === "permission" ? ` (needs ${RULES[operation]})` : "";
    return new NomadError(code, operation, `Nomad ${operation}: ${String(status)} ${said}${hint}`, fields);
  }

  /** The first words of an error's body, on one line; a proxy that echoes our request must not put the token in a log. */
  private excerpt(body: Uint8Array): string {
    let said = new TextDecoder().decode(body);
    if (this.settings.token !== undefined) said = said.replaceAll(this.settings.token, "<token>");
    return said.replace(/[\s\p{Cc}]+/gu, " ").trim().slice(0, 200);
  }
}

/** Nomad says that its servers are away in words only, with status 500. */
function codeOf(status: number, said: string): NomadErrorCode {
  if (status === 403) return "permission";
  if (status === 404) return "not-found";
  if (status === 429) return "rate-limited";
  if (status >= 500) return /no cluster leader|no servers|no path to region|no known servers/i.test(said) ? "no-leader" : "server";
  return status >= 400 ? "rejected" : "protocol";
}
