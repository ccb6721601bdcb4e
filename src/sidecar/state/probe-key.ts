/**
 * The X25519 pair for authenticated probing, kept beside the node's key: with a new one after each restart, peers
 * would refuse this node's probes until they read its state again. Losing it costs no more than that.
 */
import { join } from "node:path";
import { generateProbeKeys, probeKeysFromPrivate, type ProbeKeyPair } from "../probe/probe-keys.js";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export const PROBE_KEY_FILE = "probe.key";

/** 32 raw octets in hex, 0600. Throws StateError. */
export function loadOrCreateProbeKeys(stateDir: string, fs?: FileSystem): ProbeKeyPair {
  const path = join(stateDir, PROBE_KEY_FILE);
  const existing = readPrivate(path, fs);
  if (existing !== null) {
    if (!/^[0-9a-f]{64}\n?$/.test(existing)) throw new StateError("content", path, "is not 32 octets in hex", "Remove it: a new probing key is made.");
    return probeKeysFromPrivate(Buffer.from(existing.trim(), "hex"));
  }
  const pair = generateProbeKeys();
  const raw = Buffer.from(pair.privateKey.export({ format: "jwk" }).d ?? "", "base64url");
  return writeAtomically(path, `${raw.toString("hex")}\n`, { exclusive: true }, fs) ? pair : loadOrCreateProbeKeys(stateDir, fs);
}
