/** `--trust KEYS`: public keys, each as 64 hex digits or in a file: one a line, or PEM as `identity export` prints it. */
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { keyFault } from "../../beacon/keys.js";
import { UsageError } from "./usage-error.js";

const HEX_KEY = /^[0-9a-fA-F]{64}$/;
const PEM = /-----BEGIN PUBLIC KEY-----[\s\S]*?-----END PUBLIC KEY-----/g;

/** Lower-case hex of whole keys. Throws UsageError. */
export function readTrustedKeys(given: readonly string[]): ReadonlySet<string> {
  const keys = given.flatMap((value) => (HEX_KEY.test(value) ? [value] : keysIn(value))).map((key) => key.toLowerCase());
  for (const key of keys) {
    const fault = HEX_KEY.test(key) ? keyFault(Buffer.from(key, "hex")) : "not-32-bytes";
    if (fault !== null) throw new UsageError(`--trust: ${JSON.stringify(key.slice(0, 80))} is no ed25519 public key in hex (${fault})`);
  }
  return new Set(keys);
}

function keysIn(path: string): string[] {
  try {
    const text = readFileSync(path, "utf8");
    const pems = text.match(PEM);
    if (pems === null) return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    return pems.map((pem) => Buffer.from(createPublicKey(pem).export({ format: "jwk" }).x ?? "", "base64url").toString("hex"));
  } catch (error) {
    throw new UsageError(`--trust: ${path} is neither 64 hex digits nor a file of keys: ${error instanceof Error ? error.message : String(error)}`);
  }
}
