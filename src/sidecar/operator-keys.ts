/** `--operator-key HEX|FILE`: the public keys whose allow-list counts. A key that would pass any signature is refused. */
import { readFileSync } from "node:fs";
import { keyFault } from "../beacon/keys.js";
import { SettingsError } from "./settings.js";

const HEX_KEY = /^[0-9a-fA-F]{64}$/;

/** Lower-case hex of whole keys; a file has one key a line. Throws SettingsError. */
export function readOperatorKeys(given: readonly string[]): ReadonlySet<string> {
  const keys = given.flatMap((value) => (HEX_KEY.test(value) ? [value] : linesOf(value)));
  for (const key of keys) {
    const fault = HEX_KEY.test(key) ? keyFault(Buffer.from(key, "hex")) : "not-32-bytes";
    if (fault !== null) throw new SettingsError("--operator-key", `${JSON.stringify(key.slice(0, 80))} is no ed25519 public key in hex (${fault})`);
  }
  return new Set(keys.map((key) => key.toLowerCase()));
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n").map((line) => line.trim()).filter((line) => line !== "");
  } catch (error) {
    throw new SettingsError("--operator-key", `${path} is neither 64 hex digits nor a file that can be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
