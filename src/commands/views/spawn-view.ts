/** What `cluster spawn` says: where the workload runs, or would run, and who was passed over. */
import type { SpawnAnswer } from "../../sidecar/api/workload-client.js";
import { printable } from "./printable.js";

export interface SpawnDocument {
  schemaVersion: 1;
  id: string;
  requestId: string;
  status: string;
  url: string | null;
  node: string;
  allocationId: string | null;
  passedOver: { node: string; reason: string }[];
  decision: unknown;
  plan: unknown;
}

export function spawnDocument(answer: SpawnAnswer): SpawnDocument {
  return {
    schemaVersion: 1,
    id: answer.id ?? "",
    requestId: answer.request_id ?? "",
    status: answer.status ?? "",
    url: answer.url || null,
    node: answer.node ?? "",
    allocationId: answer.allocation_id || null,
    passedOver: (answer.passed_over ?? []).map(({ node, reason }) => ({ node: node ?? "", reason: reason ?? "" })),
    decision: jsonIn(answer.decision),
    plan: jsonIn(answer.plan),
  };
}

/** Without the last newline. */
export function spawnLines(answer: SpawnAnswer): string {
  const { id, status, url, node, allocationId, passedOver, decision } = spawnDocument(answer);
  const line = (name: string, value: string) => `${`${name}:`.padEnd(12)} ${printable(value)}`;
  return [
    line("Workload", id),
    line("Status", status === "planned" ? "planned, nothing was changed" : status),
    line("Node", node === "" ? "none yet" : node),
    ...(allocationId === null ? [] : [line("Allocation", allocationId)]),
    ...(url === null ? [] : [line("URL", url)]),
    ...passedOver.map((each) => line("Passed over", `${each.node}: ${each.reason}`)),
    ...(status === "planned" ? order(decision) : []),
  ].join("\n");
}

function order(decision: unknown): string[] {
  const { order: candidates = [] } = (decision ?? {}) as { order?: { node: string; place: number | null; scorePpm: number }[] };
  return ["Order:", ...candidates.map(({ node, place, scorePpm }) => `  ${place === null ? "-" : String(place)}  ${printable(node)}  ${(scorePpm / 1e6).toFixed(4)}`)];
}

/** Null for what is absent or no JSON. */
function jsonIn(bytes: Uint8Array | null | undefined): unknown {
  if (bytes === null || bytes === undefined || bytes.length === 0) return null;
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return null;
  }
}
