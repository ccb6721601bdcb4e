/**
 * The shared key of authenticated probing, from a file: its octets without one newline at the end, or `hex:` and hex
 * digits. HMAC-SHA-256 takes keys of any length (RFC 2104); peers must only have the same.
 */
import { readFileSync, statSync } from "node:fs";

const MAX_KEY_BYTES = 1_024;
const OTHERS = 0o077;

export interface KeyFile {
  key: Uint8Array;
  /** Users of the host other than the owner can read or write it. */
  exposed: boolean;
}

/** Throws the system's error, or a RangeError that says what is wrong with the content. */
export function readKeyFile(path: string): KeyFile {
  const { mode, size } = statSync(path);
  if (size > 2 * MAX_KEY_BYTES + 16) throw new RangeError(`is longer than a key of ${String(MAX_KEY_BYTES)} octets`);
  const content = readFileSync(path);
  const bytes = content.at(-1) === 0x0a ? content.subarray(0, content.at(-2) === 0x0d ? -2 : -1) : content;
  const text = bytes.toString("latin1");
  const key = text.startsWith("hex:") ? fromHex(text.slice(4)) : bytes;
  if (key.length === 0) throw new RangeError("is empty");
  if (key.length > MAX_KEY_BYTES) throw new RangeError(`is longer than a key of ${String(MAX_KEY_BYTES)} octets`);
  return { key, exposed: process.platform !== "win32" && (mode & OTHERS) !== 0 };
}

function fromHex(digits: string): Buffer {
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(digits)) throw new RangeError("has no pairs of hex digits after hex:");
  return Buffer.from(digits, "hex");
}
