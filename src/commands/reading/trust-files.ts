/** The files that trust commands edit on this machine: a sidecar's pins, an operator's key. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Pin } from "../../beacon/pins.js";
import { defaultStateDir } from "../../sidecar/settings.js";
import { PIN_FILE, readPins, writePins } from "../../sidecar/state/pin-file.js";

export { createOperatorKey, readLastList, readOperatorKey, writeLastList } from "../../sidecar/state/operator-file.js";

export interface PinFolder {
  path: string;
  /** False where no sidecar has kept pins there: nothing is read or written. */
  isThere: boolean;
}

/** The folder that a sidecar of this user would use, unless one is named. */
export function pinFolder(given: string | undefined, isRoot = process.geteuid?.() === 0): PinFolder {
  const path = given ?? defaultStateDir(isRoot);
  return { path, isThere: existsSync(join(path, PIN_FILE)) };
}

/** Throws StateError. */
export function pinsIn(folder: PinFolder): Pin[] {
  return folder.isThere ? readPins(folder.path) : [];
}

/** A running sidecar takes it over within a second. Returns the key that was held before. Throws StateError. */
export function setPinIn(folder: PinFolder, at: { node: string; datacenter: string }, pin: Pin | undefined): string | undefined {
  if (!folder.isThere) return undefined;
  const pins = readPins(folder.path);
  const isAt = (each: Pin): boolean => each.node === at.node && each.datacenter === at.datacenter;
  writePins(folder.path, [...pins.filter((each) => !isAt(each)), ...(pin === undefined ? [] : [pin])]);
  return pins.find(isAt)?.publicKey;
}
