/** The pins that this sidecar has seen, on its own disk: what a rewritten pin in KV is held against. */
import { join } from "node:path";
import { type Pin, readPin } from "../../beacon/pins.js";
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

function pinOf(row: unknown): Pin {
  const pin = readPin(row);
  const { origin } = row as { origin?: unknown };
  if (pin === null || (origin !== "cluster" && origin !== "first-use")) throw new Error("not a pin");
  return { ...pin, origin };
}
