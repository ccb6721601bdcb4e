/**
 * The registry in one hash: which key speaks for which node. It is SHA-256 over one line for each node that is believed,
 * "DATACENTER/NODE PUBLICKEY\n", key in lower-case hex, in the order of the lines' bytes. It changes when a node comes, goes or
 * changes its key, and with nothing else, so that readers who believe the same nodes compute the same (docs/proofs.md has the
 * line of shell that does).
 */
import { createHash } from "node:crypto";
import { isBelieved, type NodeView } from "./node-view.js";

/** Lower-case hex. */
export function registryHash(views: readonly NodeView[]): string {
  const lines = views.flatMap(({ name, datacenter, trust, beacon }) => (isBelieved(trust) && beacon !== undefined ? [Buffer.from(`${datacenter}/${name} ${beacon.key.hex}\n`)] : []));
  const hash = createHash("sha256");
  for (const line of lines.sort((a, b) => Buffer.compare(a, b))) hash.update(line);
  return hash.digest("hex");
}
