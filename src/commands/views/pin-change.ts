/** What `trust pin` and `trust unpin` did, in KV and on this host. */
import { beaconId } from "../../beacon/keys.js";
import type { PinChange } from "../../sidecar/trust-records.js";
import type { PinFolder } from "../reading/trust-files.js";
import { printable } from "./printable.js";

export interface PinChangeDocument {
  schemaVersion: 1;
  node: string;
  datacenter: string;
  /** Hex; null after `unpin`. */
  publicKey: string | null;
  /** Null where KV was left alone. */
  kv: { change: PinChange["change"] | "removed" | "absent"; before: string | null } | null;
  /** Null where this host keeps no pins. */
  host: { folder: string; before: string | null } | null;
}

export function keyWithId(publicKey: string): string {
  return `${publicKey} (beacon ID ${beaconId(Buffer.from(publicKey, "hex"))})`;
}

/** Without the last line's newline. */
export function pinChange(change: PinChangeDocument, folder: PinFolder): string {
  const { node, datacenter, publicKey, kv, host } = change;
  const was = (before: string | null): string => (before === null ? "" : `, was ${printable(before)}`);
  const lines = [publicKey === null ? `${node}, ${datacenter}: unpinned` : `${node}, ${datacenter}: pinned to ${keyWithId(publicKey)}`];
  if (kv !== null) lines.push(`  KV: ${kv.change}${was(kv.before)}`);
  lines.push(
    host === null
      ? `  This host: no pins in ${printable(folder.path)}; --state-dir names another folder`
      : `  This host: ${printable(host.folder)}${was(host.before)}; a sidecar that runs takes it over within a second`,
  );
  lines.push(
    publicKey === null
      ? `  Elsewhere: sidecars that have seen the old pin show pin-conflict until the same is done on their hosts (--only-here). A node that still runs pins itself again: stop it first.`
      : `  Elsewhere: sidecars that have seen another pin show pin-conflict until this is done on their hosts (--only-here).`,
  );
  return lines.join("\n");
}
