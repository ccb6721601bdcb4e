/** `identity show`, `rotate` and `export`: a node's key in the forms that people compare. Unknown is null. */
import { createHash } from "node:crypto";
import { beaconId, publicKeyPem } from "../../beacon/keys.js";
import type { OwnIdentity } from "../reading/state-folder.js";
import { printable } from "./printable.js";

export interface KeyForms {
  beaconId: string;
  /** Lower-case hex of the whole key. */
  publicKey: string;
  /** SHA-256 of the 32 bytes in base64 without padding, as OpenSSH writes fingerprints. */
  fingerprint: string;
  pem: string;
}

export interface IdentityDocument extends KeyForms {
  schemaVersion: 1;
  stateDir: string;
  epoch: number | null;
  pins: { node: string; datacenter: string; origin: string; formerKeys: readonly string[] }[];
  pinsOfOthers: number;
  rotations: { node: string; datacenter: string; oldKey: string; newKey: string; epoch: number; issuedAt: string }[];
  prepared: KeyForms | null;
}

export function keyForms(key: Uint8Array): KeyForms {
  return {
    beaconId: beaconId(key),
    publicKey: Buffer.from(key).toString("hex"),
    fingerprint: `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`,
    pem: publicKeyPem(key),
  };
}

export function identityDocument(own: OwnIdentity): IdentityDocument {
  return {
    schemaVersion: 1,
    stateDir: own.stateDir,
    ...keyForms(own.publicKey),
    epoch: own.epoch === 0 ? null : own.epoch,
    pins: own.ownPins.map(({ node, datacenter, origin, formerKeys = [] }) => ({ node, datacenter, origin, formerKeys })),
    pinsOfOthers: own.otherPins,
    rotations: own.rotations.map(({ node, datacenter, oldKey, newKey, epoch, issuedAtMs }) => ({
      node, datacenter, oldKey, newKey, epoch, issuedAt: new Date(issuedAtMs).toISOString(),
    })),
    prepared: own.nextKey === undefined ? null : keyForms(own.nextKey),
  };
}

/** Without the last newline. */
export function identityText(document: IdentityDocument): string {
  const { pins, rotations, prepared } = document;
  return [
    `Beacon ID:    ${document.beaconId}`,
    `Public key:   ${document.publicKey}`,
    `Fingerprint:  ${document.fingerprint}`,
    `Epoch:        ${document.epoch === null ? "none yet" : String(document.epoch)}`,
    ...(pins.length === 0 ? ["Pinned as:    nothing yet: the sidecar has published no record by this key"] : []),
    ...pins.map(({ node, datacenter, origin }) => `Pinned as:    ${printable(node)} in ${printable(datacenter)} (${origin})`),
    `Other pins:   ${String(document.pinsOfOthers)}`,
    ...rotations.map(({ oldKey, newKey, epoch, issuedAt }) => `Rotated:      ${oldKey.slice(0, 16)} to ${newKey.slice(0, 16)}, epoch ${String(epoch)}, ${issuedAt}`),
    ...(prepared === null ? [] : [`Prepared:     ${prepared.beaconId}: the sidecar changes to this key at its next beat, or at its next start`]),
    `State folder: ${printable(document.stateDir)}`,
  ].join("\n");
}
