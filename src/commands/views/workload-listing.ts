/** `cluster list` by default: the nodes and what they run, in the manner of the metrics listing. */
import type { NodeView } from "../../beacon/node-view.js";
import type { Workload } from "../../beacon/record.js";
import { figuresOf } from "./figures.js";
import { printable } from "./printable.js";
import { padTo, displayWidth } from "./width.js";
import { age, unverifiedLabel } from "./wording.js";

/** Without the last line's newline. `nowMs` is Unix time, for the age of workloads. */
export function workloadListing(nodes: readonly NodeView[], nowMs: number): string {
  return ["IBRL Cluster Nodes:", "==================", "", ...nodes.flatMap((view) => block(view, nowMs))].join("\n");
}

function block(view: NodeView, nowMs: number): string[] {
  const { beaconId, workloads, policy } = figuresOf(view);
  return [
    `Node: ${printable(view.id === "" ? view.name : view.id)}`,
    `  Name:            ${printable(view.name)}`,
    `  Address:         ${printable(view.address)}`,
    `  Datacenter:      ${printable(view.datacenter)}`,
    beaconId === undefined ? "  Beacon: Not available" : `  Beacon ID:       ${beaconId}${unverifiedLabel(view.trust)}`,
    `  Trust:           ${view.trust}`,
    `  Alive:           ${aliveness(view.alive)}`,
    ...(policy === undefined ? [] : [`  Policy:          ${printable(policy.id)} (${policy.enforcement}) [${policy.tags.map(printable).join(" ")}]`]),
    `  Workloads:       ${workloads === undefined ? "unknown" : String(workloads.length)}`,
    ...aligned((workloads ?? []).map((workload) => cells(workload, nowMs))),
    "",
  ];
}

function aliveness(alive: boolean | undefined): string {
  return alive === undefined ? "unknown" : alive ? "yes" : "no";
}

/** Nomad's short ID first, as its own command line shows allocations. */
function cells(workload: Workload, nowMs: number): string[] {
  const group = `${workload.job}/${workload.taskGroup}`;
  return [
    workload.id.slice(0, 8),
    workload.namespace === "default" || workload.namespace === "" ? group : `${workload.namespace}:${group}`,
    workload.status,
    age(nowMs - workload.createdAtMs),
  ].map(printable);
}

function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => displayWidth(row[column] ?? ""))));
  return rows.map((row) => `    ${row.map((cell, column) => padTo(cell, widths[column] ?? 0)).join("  ")}`.trimEnd());
}
