/** The cluster's policy for commands that decide themselves: as given, else the asked sidecar's. It is never left out in silence. */
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { openPolicy } from "../../policy/open-policy.js";
import { printable } from "../views/printable.js";
import { loadPolicy, PolicyFileError } from "./policy-source.js";
import type { Source } from "./source.js";

/** `given`: --cluster-policy. Undefined: the sidecar has none, or there is none to ask. Rejects like loadPolicy. */
export async function loadClusterPolicy(given: string | undefined, source: Source): Promise<Evaluator | undefined> {
  if (given !== undefined) return (await loadPolicy(given, source.stored)).evaluator;
  const document = await source.clusterPolicy();
  if (document === undefined) return undefined;
  const opened = openPolicy(document.value, document.name);
  if (!opened.ok) throw new PolicyFileError(`the cluster's policy of ${source.name}`, opened.problems);
  return opened.evaluator;
}

/** Of the nodes' signed states, where their policy is not at hand: what was decided without. Undefined: nothing was left out. */
export function leftOut(nodes: readonly NodeView[], applied: Evaluator | undefined): string | undefined {
  if (applied !== undefined) return undefined;
  const ids = new Set(nodes.flatMap(({ trust, state }) => (isBelieved(trust) ? (state?.record.policy?.id ?? []) : [])));
  if (ids.size === 0) return undefined;
  return `warning: decided without the cluster's policy, ${[...ids].sort().map(printable).join(", ")}: ask a sidecar that has it, or name it with --cluster-policy`;
}
