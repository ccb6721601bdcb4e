/**
 * `cluster metrics` by default: the ancestor's text, line for line, so that what reads it goes on working. For a
 * value that is not fully measured only the value differs. A node that is not believed has no beacon here; why is
 * said by warnings.ts, on stderr.
 */
import type { NodeView } from "../../beacon/node-view.js";
import { type Figures, figuresOf } from "./figures.js";
import { printable } from "./printable.js";
import { dollars, milliseconds, percent, score, unverifiedLabel } from "./wording.js";

const UNMEASURED = "unmeasured";
const UNKNOWN = "unknown";

/** Without the last line's newline. */
export function listing(nodes: readonly NodeView[]): string {
  return ["IBRL Cluster Metrics:", "====================", "", ...nodes.flatMap(block)].join("\n");
}

function block(view: NodeView): string[] {
  const figures = figuresOf(view);
  return [
    // Nodes that were registered in the catalog by hand have no ID; the name is all there is.
    `Node: ${printable(view.id === "" ? view.name : view.id)}`,
    ...(figures.beaconId === undefined ? ["  Beacon: Not available"] : beaconLines(`${figures.beaconId}${unverifiedLabel(view.trust)}`, figures)),
    `  Workloads:       ${figures.workloads === undefined ? UNKNOWN : String(figures.workloads.length)}`,
    "",
  ];
}

function beaconLines(beaconId: string, figures: Figures): string[] {
  return [
    `  Beacon ID:       ${beaconId}`,
    `  Latency:         ${latency(figures)}`,
    `  Jitter:          ${shown(figures.jitterMs, milliseconds)}`,
    `  Packet Loss:     ${shown(figures.lossRatio, percent)}`,
    `  Queue Depth:     ${shown(figures.queueDepth, String)}`,
    `  Price/GB:        ${shown(figures.pricePerGb, dollars, UNKNOWN)}`,
    `  Reputation:      ${shown(figures.reputation, score, declared(figures))}`,
    `  Capabilities:    [${(figures.capabilities ?? []).map(printable).join(" ")}]`,
  ];
}

function latency({ latencyMs, latencySource }: Figures): string {
  return shown(latencyMs, milliseconds) + (latencySource === "estimated" ? " (estimated)" : "");
}

function declared({ declaredReputation }: Figures): string {
  return declaredReputation === undefined ? UNKNOWN : `${UNKNOWN} (declared ${score(declaredReputation)})`;
}

function shown(value: number | undefined, write: (value: number) => string, otherwise = UNMEASURED): string {
  return value === undefined ? otherwise : write(value);
}
