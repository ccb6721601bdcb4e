/** What the listings cannot say in their own text: why a node shows no beacon, and which nodes are down. For stderr. */
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import { printable } from "./printable.js";

/** A line for each node that has something to say; a node without a sidecar has not. */
export function warnings(nodes: readonly NodeView[]): string[] {
  return nodes.flatMap((view) => {
    const said = [
      ...(isBelieved(view.trust) || view.trust === "no-sidecar" || view.trust === "federated" ? [] : [reason(view)]),
      ...(view.alive === false ? ["down, says Consul"] : []),
    ];
    return said.length === 0 ? [] : [`warning: ${printable(view.name)}: ${said.join("; ")}`];
  });
}

function reason({ trust, detail }: NodeView): string {
  return detail === undefined ? trust : `${trust}: ${printable(detail)}`;
}
