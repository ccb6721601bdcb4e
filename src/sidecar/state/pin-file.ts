/** The pins that this sidecar has seen, on its own disk: what a rewritten pin in KV is held against. */
import { join } from "node:path";
import { type Pin, readPin } from "../../beacon/pins.js";
import * as nodeFs from "node:fs";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export const PIN_FILE = "pins.json";

/** Throws StateError. A file that is not ours stops the start: forgetting the pins would be trusting anyone. */
export function readPins(stateDir: string, fs?: FileSystem): Pin[] {
  const path = join(stateDir, PIN_FILE);
  const content = readPrivate(path, fs);
  if (content === null) return [];
  try {
    const document = JSON.parse(content) as { v?: unknown; pins?: unknown };
    if (document.v === 1 && Array.isArray(document.pins)) return document.pins.map(pinOf);
  } catch {
    // named below
  }
  throw new StateError("content", path, "is not a pin file", "Restore it from a backup; removing it means to trust each node's key on first use again.");
}

export function writePins(stateDir: string, pins: readonly Pin[], fs?: FileSystem): void {
  const rows = pins.map((pin) => ({ v: 1, ...pin }));
  writeAtomically(join(stateDir, PIN_FILE), `${JSON.stringify({ v: 1, pins: rows }, null, 1)}\n`, {}, fs);
}

/**
 * The file as a running sidecar uses it. `hypercore trust pin` and `unpin` edit it under the sidecar; who may write there
 * may do that, so nothing is asked on a port. A pin learned in the same moment may be lost, and is then learned again.
 */
export class PinFile {
  #stamp: string | undefined;

  constructor(
    private readonly stateDir: string,
    private readonly fs: FileSystem = nodeFs,
  ) {}

  /** Throws StateError. */
  read(): Pin[] {
    this.#stamp = this.#stampNow();
    return readPins(this.stateDir, this.fs);
  }

  /** Throws StateError. */
  write(pins: readonly Pin[]): void {
    writePins(this.stateDir, pins, this.fs);
    this.#stamp = this.#stampNow();
  }

  /** What somebody else has written since; undefined where nobody has, or took the file away. Throws StateError. */
  edited(): Pin[] | undefined {
    const stamp = this.#stampNow();
    return stamp === undefined || stamp === this.#stamp ? undefined : this.read();
  }

  /** Undefined without a file. Each write makes another inode. */
  #stampNow(): string | undefined {
    try {
      const { ino, mtimeMs, size } = this.fs.lstatSync(join(this.stateDir, PIN_FILE));
      return `${String(ino)} ${String(mtimeMs)} ${String(size)}`;
    } catch {
      return undefined;
    }
  }
}

function pinOf(row: unknown): Pin {
  const pin = readPin(row);
  const { origin, formerKeys: keys } = row as { origin?: unknown; formerKeys?: string[] };
  if (keys !== undefined && !(Array.isArray(keys) && keys.every(isKey))) throw new Error("not keys");
  if (pin === null || (origin !== "cluster" && origin !== "first-use")) throw new Error("not a pin");
  return { ...pin, origin, ...(keys === undefined ? {} : { formerKeys: keys }) };
}

function isKey(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
