/** A sidecar's state folder as commands read it: its public half. No private key leaves this file. */
import { KeyAdmission } from "../../beacon/keys.js";
import type { Pin } from "../../beacon/pins.js";
import type { Rotation } from "../../beacon/rotation.js";
export { readEvidence } from "../../sidecar/state/evidence-file.js";
export { readOwnRotations } from "../../sidecar/state/rotation-files.js";
export { ProofFolder } from "../../sidecar/state/proof-folder.js";
export { UsageFolder } from "../../sidecar/state/usage-folder.js";
import { readEpoch } from "../../sidecar/state/epoch.js";
import { IDENTITY_FILE, readIdentity } from "../../sidecar/state/identity.js";
import { readPins } from "../../sidecar/state/pin-file.js";
import { prepareNextKey, readNextKey, readOwnRotations } from "../../sidecar/state/rotation-files.js";

export interface OwnIdentity {
  stateDir: string;
  publicKey: Uint8Array;
  /** Of the last start; 0 before the first. */
  epoch: number;
  /** This node's own pins as its sidecar holds them: the names under which the key speaks. */
  ownPins: Pin[];
  /** Pins of other nodes on this disk. */
  otherPins: number;
  rotations: Rotation[];
  /** A prepared key that the sidecar has not changed to yet. */
  nextKey?: Uint8Array;
}

/** There is no key in the folder. Matched by code. */
export class NoIdentityError extends Error {
  override readonly name = "NoIdentityError";
  readonly code = "no-identity";
  constructor(stateDir: string) {
    super(`${stateDir} holds no ${IDENTITY_FILE}: a sidecar makes its key at its first start. Give its folder with --state-dir.`);
  }
}

/** Throws StateError or NoIdentityError. */
export function readOwnIdentity(stateDir: string): OwnIdentity {
  const identity = readIdentity(stateDir);
  if (identity === null) throw new NoIdentityError(stateDir);
  const own = hex(identity.publicKey);
  const pins = readPins(stateDir);
  const ownPins = pins.filter(({ publicKey }) => publicKey === own);
  const next = readNextKey(stateDir);
  return {
    stateDir,
    publicKey: identity.publicKey,
    epoch: readEpoch(stateDir),
    ownPins,
    otherPins: pins.length - ownPins.length,
    rotations: readOwnRotations(stateDir, new KeyAdmission()),
    ...(next === null ? {} : { nextKey: next.publicKey }),
  };
}

/** The public half of the key that the sidecar will change to; `created` where none was prepared before. Throws StateError or NoIdentityError. */
export function prepareRotation(stateDir: string): { publicKey: Uint8Array; created: boolean } {
  if (readIdentity(stateDir) === null) throw new NoIdentityError(stateDir);
  const { publicKey, created } = prepareNextKey(stateDir);
  return { publicKey, created };
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString("hex");
}
