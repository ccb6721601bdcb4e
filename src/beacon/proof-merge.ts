/**
 * The file of `proof merge`: proof files of many allocations, from whichever nodes, under one Merkle root (RFC 6962), each with
 * its way to it. Of `proof extract`: one of them out of it, which proves by log2 of their number of hashes that it belongs there.
 * Nobody signs the root: it counts for who holds it from somewhere. One spelling, as proof-file.ts.
 *
 *   leaf i = SHA-256 of `i COUNT\n` and the proof file of allocation i alone, as it is spelled; in the order of allocations
 *
 * Place and count are in the leaf, because a root alone does not bind them: one way may lead to it from trees of several sizes.
 */
import { createHash } from "node:crypto";
import type { KeyAdmission } from "./keys.js";
import { isIncluded, merkleTree } from "./merkle.js";
import { type DecisionOpener, type ProofFile, type ProofFileVerdict, proofFileText, type VerifiedChain, verifyProofFile } from "./proof-file.js";

export interface MergedProofs {
  v: 1;
  /** `root`: hex. */
  aggregate: { count: number; root: string };
  /** All `count` of them, or some. */
  proofs: MergedProof[];
}

interface MergedProof {
  allocation: string;
  /** From 0. */
  index: number;
  /** Hex hashes beside the way to the root, the lowest first. */
  path: string[];
  /** Of this allocation alone. */
  file: ProofFile;
}

/** Of what does not verify as of a proof file; `chain` counts the allocations in this file from 1. */
export type MergedVerdict = { ok: true; aggregate: MergedProofs["aggregate"]; chains: VerifiedChain[] } | (ProofFileVerdict & { ok: false });

/** Matched by code. */
export class MergeError extends Error {
  override readonly name = "MergeError";
  constructor(
    readonly code: "unverified" | "contradiction" | "no-proof" | "ambiguous" | "damaged-proof",
    message: string,
  ) {
    super(message);
  }
}

export function mergedFileText(merged: MergedProofs): string {
  return `${JSON.stringify(merged, undefined, 1)}\n`;
}

/** Whether the text is a file of merge or extract, sound or not. */
export function isMerged(text: string): boolean {
  return mergedIn(text) !== undefined;
}

export interface MergeInput {
  /** What errors call it. */
  name: string;
  /** A proof file. */
  text: string;
}

/** The same whatever the order of the files. Throws MergeError: one does not verify, or two tell an allocation differently. */
export function mergeProofs(inputs: readonly MergeInput[], trusted: ReadonlySet<string>, keys: KeyAdmission, openDecision: DecisionOpener): MergedProofs {
  const found = new Map<string, { file: ProofFile; name: string }>();
  for (const { name, text } of inputs) {
    const verdict = verifyProofFile(text, trusted, keys, openDecision);
    if (!verdict.ok) {
      const at = verdict.chain === undefined ? "" : ` (chain ${String(verdict.chain)}${verdict.position === undefined ? "" : `, entry ${String(verdict.position)}`})`;
      throw new MergeError("unverified", `${name} does not verify: ${verdict.step}${at}: ${verdict.detail}`);
    }
    const { chains, rotations } = JSON.parse(text) as ProofFile;
    for (const [i, chain] of chains.entries()) {
      const { allocation } = (verdict.chains[i] as VerifiedChain).last.record;
      const file: ProofFile = { v: 1, chains: [chain], rotations };
      const other = found.get(allocation);
      if (other !== undefined && proofFileText(other.file) !== proofFileText(file)) {
        throw new MergeError("contradiction", `allocation ${allocation} is in ${other.name} and, not the same, in ${name}: leave the older one out`);
      }
      found.set(allocation, { file, name });
    }
  }
  const files = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([allocation, { file }]) => ({ allocation, file }));
  const { root, proofs } = merkleTree(files.map(({ file }, index) => leafOf(file, index, files.length)));
  return {
    v: 1,
    aggregate: { count: files.length, root: hexOf(root) },
    proofs: files.map(({ allocation, file }, index) => ({ allocation, index, path: (proofs[index] ?? []).map(hexOf), file })),
  };
}

/** `workload`: an allocation ID, of which eight characters are enough. Throws MergeError; verifies nothing but the place under the root. */
export function extractProof(text: string, workload: string): MergedProofs {
  const merged = mergedIn(text);
  if (merged === undefined || !isWellFormed(merged, text)) throw new MergeError("damaged-proof", "is not a file of `proof merge`, spelled as it was written");
  const found = merged.proofs.filter(({ allocation }) => workload.length >= 8 && allocation.startsWith(workload));
  const [proof] = found;
  if (proof === undefined) throw new MergeError("no-proof", `no allocation ${workload} among the ${String(merged.proofs.length)} of the file`);
  if (found.length > 1) throw new MergeError("ambiguous", `${workload} is the beginning of ${String(found.length)} allocation IDs`);
  if (!isUnder(proof, merged.aggregate)) throw new MergeError("damaged-proof", `allocation ${proof.allocation} does not stand under the root of its file`);
  return { ...merged, proofs: [proof] };
}

/** `root`: hex of one that the reader holds. Never throws on any text. */
export function verifyMerged(text: string, root: string | undefined, trusted: ReadonlySet<string>, keys: KeyAdmission, openDecision: DecisionOpener): MergedVerdict {
  const merged = mergedIn(text);
  if (merged === undefined || !isWellFormed(merged, text)) return { ok: false, step: "file", detail: "is not a file of proofs under a root, spelled as it was written" };
  const { aggregate, proofs } = merged;
  if (root !== undefined && root !== aggregate.root) return { ok: false, step: "aggregate", detail: `root ${aggregate.root}; the one that you gave is ${root}` };
  const chains: VerifiedChain[] = [];
  for (const [i, proof] of proofs.entries()) {
    const broken = (detail: string): MergedVerdict => ({ ok: false, step: "aggregate", chain: i + 1, detail });
    const verdict = verifyProofFile(proofFileText(proof.file), trusted, keys, openDecision);
    if (!verdict.ok) return { ...verdict, chain: i + 1 };
    const [chain, ...more] = verdict.chains;
    if (chain === undefined || more.length > 0) return broken("more than one allocation at one place");
    const { allocation } = chain.last.record;
    if (allocation !== proof.allocation) return broken(`named ${proof.allocation}; it is of ${allocation}`);
    const before = proofs[i - 1];
    if (before !== undefined && (before.allocation >= allocation || before.index >= proof.index)) return broken(`allocation ${allocation} stands after ${before.allocation}`);
    if (!isUnder(proof, aggregate)) return broken(`is not number ${String(proof.index)} of the ${String(aggregate.count)} under root ${aggregate.root}`);
    chains.push(chain);
  }
  return { ok: true, aggregate, chains };
}

export function leafOf(file: ProofFile, index: number, count: number): Uint8Array {
  return createHash("sha256").update(`${String(index)} ${String(count)}\n`).update(proofFileText(file)).digest();
}

function isUnder({ file, index, path }: MergedProof, { count, root }: MergedProofs["aggregate"]): boolean {
  const bytes = (hex: string) => Buffer.from(hex, "hex");
  return isIncluded(leafOf(file, index, count), index, count, path.map(bytes), bytes(root));
}

function mergedIn(text: string): MergedProofs | undefined {
  try {
    const file = JSON.parse(text) as MergedProofs | null;
    return typeof file === "object" && file !== null && "aggregate" in file ? file : undefined;
  } catch {
    return undefined;
  }
}

function isWellFormed(merged: MergedProofs, text: string): boolean {
  const { v, aggregate, proofs } = merged;
  return v === 1 && keysAre(merged, "v,aggregate,proofs") && keysAre(aggregate, "count,root") && Number.isSafeInteger(aggregate.count) && isHash(aggregate.root) &&
    Array.isArray(proofs) && proofs.length > 0 && proofs.every(isProof) && mergedFileText(merged) === text;
}

/** What `file` holds is for verifyProofFile to say. */
function isProof(proof: MergedProof): boolean {
  if (!keysAre(proof, "allocation,index,path,file")) return false;
  const { allocation, index, path } = proof;
  return typeof allocation === "string" && Number.isSafeInteger(index) && Array.isArray(path) && path.every(isHash);
}

function keysAre(value: unknown, keys: string): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).join() === keys;
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

function hexOf(hash: Uint8Array): string {
  return Buffer.from(hash).toString("hex");
}
