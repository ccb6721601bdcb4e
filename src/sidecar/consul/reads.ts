/**
 * What all reads share: the query parameters of consistency and blocking, and the headers that say
 * how fresh the answer is. The index is taken from its header, as text: a JSON number, or the
 * package's own parsing, would round what is above 2^53.
 */
import type { BlockingOptions, Read } from "../consul-api.js";
import { protocolError } from "./shape.js";
import type { Answer } from "./transport.js";

/** Consul's own default is five minutes, too long to hold a deadline open. */
const DEFAULT_WAIT_MS = 60_000;

interface ReadSpec {
  query: Record<string, string>;
  heldMs: number;
}

/** `datacenter`: the connection's own; null is the agent's. */
export function readSpec(options: BlockingOptions, datacenter: string | null): ReadSpec {
  const query = datacenterQuery(options.datacenter ?? datacenter);
  if (options.consistency === "stale") query["stale"] = "1";
  if (options.consistency === "consistent") query["consistent"] = "1";
  if (options.index === undefined) return { query, heldMs: 0 };
  const waitMs = options.waitMs ?? DEFAULT_WAIT_MS;
  query["index"] = options.index;
  query["wait"] = `${Math.max(1, Math.round(waitMs))}ms`;
  // Consul adds up to a sixteenth at random (agent/blockingquery).
  return { query, heldMs: waitMs + waitMs / 16 };
}

export function datacenterQuery(datacenter: string | null): Record<string, string> {
  return datacenter === null ? {} : { dc: datacenter };
}

/** `agentLocal`: no server is asked, so that no leader is spoken of. */
export function read<T>(operation: string, { headers }: Answer, value: T, agentLocal = false): Read<T> {
  const index = headers["x-consul-index"];
  if (typeof index !== "string" || !/^\d{1,20}$/.test(index)) throw protocolError(operation, "no X-Consul-Index");
  const lastContact = headers["x-consul-lastcontact"];
  const knownLeader = headers["x-consul-knownleader"];
  const result: Read<T> = {
    value,
    index,
    lastContactMs: typeof lastContact === "string" && /^\d{1,15}$/.test(lastContact) ? Number(lastContact) : null,
    knownLeader: agentLocal || knownLeader === "true",
  };
  if (isFiltered(headers)) result.filteredByAcl = true;
  return result;
}

export function isFiltered(headers: Answer["headers"]): boolean {
  return headers["x-consul-results-filtered-by-acls"] === "true";
}
