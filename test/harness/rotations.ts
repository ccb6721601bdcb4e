/** Key rotations for tests: signed and opened like any other. */
import { KeyAdmission } from "../../src/beacon/keys.js";
import { openRotation, type Rotation, sealRotation } from "../../src/beacon/rotation.js";
import { identity, NOW_MS } from "./records.js";

export const keyHex = (seed: number): string => Buffer.from(identity(seed).publicKey).toString("hex");
const keys = new KeyAdmission();

/** From the key of one seed to that of another, of node n1 in dc1. */
export function rotation(from: number, to: number, epoch: number, node = "n1"): Rotation {
  const sealed = sealRotation({ node, datacenter: "dc1", epoch, issuedAtMs: NOW_MS }, identity(from), identity(to));
  const opened = openRotation(sealed, keys, { node, datacenter: "dc1" });
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.rotation;
}
