/**
 * The sudden death of one node of a running local cluster, from another terminal: SIGKILL to its Consul agent, Nomad
 * agent, sidecar and workloads at once, as a machine dies. Killing the Nomad agent alone would leave its tasks running.
 */
import { basename } from "node:path";
import { DevError } from "./dev-error.js";
import { taskPids } from "./nomad-leftovers.js";
import { pidsWithVariable, signalIfAlive } from "./process-identity.js";
import { RunFolder } from "./run-folder.js";

const MARKER = "HYPERCORE_NODE_FOLDER";

/** To be in the environment of a node's programs; their tasks inherit it. */
export function nodeEnvironment(nodeFolder: string): Record<string, string> {
  return { [MARKER]: nodeFolder };
}

/**
 * The pids that were killed. `node` is a name, or the node's folder where clusters of the same names run at once.
 * Throws `bad-option` unless exactly one running cluster has it.
 */
export function killNode(node: string, prefix: string): number[] {
  const found = RunFolder.running(prefix)
    .flatMap((run) => run.nodeFolders().map((folder) => ({ run, folder })))
    .filter(({ folder }) => folder === node || basename(folder) === node);
  const [only] = found;
  if (only === undefined) throw new DevError("bad-option", `No local cluster of yours that runs has a node ${JSON.stringify(node)}`, { node });
  if (found.length > 1) throw new DevError("bad-option", `Which one: ${found.map(({ folder }) => folder).join(" or ")}?`, { node });
  const { run, folder } = only;
  const pids = [...new Set([...pidsWithVariable(MARKER, folder), ...run.recordedWithin(folder), ...taskPids(folder)])];
  for (const pid of pids) signalIfAlive(pid, "SIGKILL");
  return pids;
}
