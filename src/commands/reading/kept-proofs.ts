/** The proofs in a sidecar's state folder: what is there, and the file of `proof export` made of it. */
import { openStatement, type Signed } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { inclusionProof } from "../../beacon/merkle.js";
import { PROOF } from "../../beacon/proof-codec.js";
import type { ProofFile, RootPlace } from "../../beacon/proof-file.js";
import type { ProofSegment } from "../../beacon/proof-record.js";
import { ProofFolder, readOwnRotations } from "./state-folder.js";

export interface KeptProof {
  allocation: string;
  segments: readonly Uint8Array[];
  beacons: readonly Uint8Array[];
  decision?: Uint8Array;
  newest: Signed<ProofSegment>;
}

/** Matched by code. */
export class ProofError extends Error {
  override readonly name = "ProofError";
  constructor(
    readonly code: "no-proof" | "damaged-proof" | "ambiguous",
    message: string,
  ) {
    super(message);
  }
}

/** By allocation. Throws StateError, or ProofError where a newest segment does not open. */
export function keptProofs(stateDir: string, keys: KeyAdmission): KeptProof[] {
  const folder = new ProofFolder(stateDir);
  return folder.list().flatMap(({ allocation }) => {
    const { segments = [], beacons = [], decision } = folder.read(allocation) ?? {};
    const last = segments.at(-1);
    if (last === undefined) return [];
    const opened = openStatement(PROOF, last, keys);
    if (!opened.ok) throw new ProofError("damaged-proof", `the newest segment of allocation ${allocation} does not verify: ${opened.reason}: ${opened.detail}`);
    return [{ allocation, segments, beacons, newest: opened.signed, ...(decision === undefined ? {} : { decision }) }];
  });
}

/** `workload`: a job ID, or an allocation ID of which eight characters are enough. Throws StateError or ProofError. */
export function exportProofs(stateDir: string, workload: string, keys: KeyAdmission): { file: ProofFile; found: KeptProof[] } {
  const root = new ProofFolder(stateDir).readRoot(); // first: a chain may be newer than the root, and not the other way round
  const kept = keptProofs(stateDir, keys);
  const byJob = kept.filter(({ newest }) => newest.record.job === workload);
  const found = byJob.length > 0 ? byJob : kept.filter(({ allocation }) => workload.length >= 8 && allocation.startsWith(workload));
  if (found.length === 0) throw new ProofError("no-proof", `no proof of ${workload} in ${stateDir}: the node that ran it has them, until they are pruned`);
  if (byJob.length === 0 && found.length > 1) throw new ProofError("ambiguous", `${workload} is the beginning of ${String(found.length)} allocation IDs`);
  const file: ProofFile = {
    v: 1,
    chains: found.map(({ segments, beacons, decision }) => {
      const place = root === null ? undefined : placeUnder(root, segments, keys);
      const named = beaconsNamed(segments, keys);
      const told = beacons.length === named.size ? { beacons: beacons.map(base64) } : {};
      return { segments: segments.map(base64), ...told, ...(decision === undefined ? {} : { decision: base64(decision) }), ...(place === undefined ? {} : { root: place }) };
    }),
    rotations: readOwnRotations(stateDir, keys).map(({ sealed }) => [base64(sealed.byOld), base64(sealed.byNew)]),
  };
  return { file, found };
}

function beaconsNamed(segments: readonly Uint8Array[], keys: KeyAdmission): Set<string> {
  return new Set(segments.flatMap((sealed) => {
    const opened = openStatement(PROOF, sealed, keys);
    return opened.ok ? [opened.signed.record.beaconHash] : [];
  }));
}

/** The newest of the segments that stands under the root. */
function placeUnder(root: { sealed: Uint8Array; leaves: readonly string[] }, segments: readonly Uint8Array[], keys: KeyAdmission): RootPlace | undefined {
  const hashes = segments.flatMap((sealed) => {
    const opened = openStatement(PROOF, sealed, keys);
    return opened.ok ? [opened.signed.hash] : [];
  });
  const index = root.leaves.findIndex((leaf) => hashes.includes(leaf));
  if (index === -1) return undefined;
  const path = inclusionProof(root.leaves.map((leaf) => Buffer.from(leaf, "hex")), index);
  return { sealed: base64(root.sealed), index, path: path.map((hash) => Buffer.from(hash).toString("hex")) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
