/** `proof merge`, `proof extract`, and `proof verify` of their files: the root, what stands under it, and what that does not prove. */
import type { MergedProofs, MergedVerdict } from "../../beacon/proof-merge.js";
import { verifiedDocument, type VerifiedDocument, verifiedText } from "./proofs.js";

/** What a file of merge or extract has. */
export interface MergedDocument {
  schemaVersion: 1;
  root: string;
  /** Allocations under the root; those in the file are `places`. */
  count: number;
  places: Place[];
}

interface Place {
  allocation: string;
  /** From 0. */
  index: number;
  hashes: number;
}

/** `aggregate`: null where the file is of `proof export`, or does not verify. */
export interface VerifiedMergedDocument extends VerifiedDocument {
  aggregate: { root: string; count: number; inFile: number; heldAgainst: "given" | null } | null;
}

const NOT_PROVED = "that the root has all that ran, nor who merged it and when: whoever did chose the files, and nobody signs the root";

export function mergedDocument({ aggregate, proofs }: MergedProofs): MergedDocument {
  return { schemaVersion: 1, ...rootOf(aggregate), places: proofs.map(({ allocation, index, path }) => ({ allocation, index, hashes: path.length })) };
}

/** Without the last newline; `path` is printed as it is. */
export function mergedText(path: string, { root, count, places }: MergedDocument): string {
  const [only] = places;
  const what = places.length === 1 && count > 1 && only !== undefined ? `allocation ${only.allocation}, ${String(only.hashes)} hashes below root ${root}` : `${allocations(places.length)} under root ${root}`;
  return `${path}: ${what}`;
}

/** `given`: whether the reader gave a root to hold it against. */
export function verifiedMergedDocument(verdict: MergedVerdict, trusted: ReadonlySet<string>, given: boolean): VerifiedMergedDocument {
  const document = verifiedDocument(verdict, trusted);
  if (!verdict.ok) return { ...document, aggregate: null };
  return { ...document, aggregate: { ...rootOf(verdict.aggregate), inFile: verdict.chains.length, heldAgainst: given ? "given" : null }, notProved: [...document.notProved, NOT_PROVED] };
}

/** Without the last newline. */
export function verifiedMergedText(document: VerifiedMergedDocument): string {
  const { aggregate } = document;
  if (aggregate === null) return verifiedText(document);
  const { root, count, inFile, heldAgainst } = aggregate;
  return [
    `Root ${root} over ${allocations(count)}: ${inFile === count ? "all in the file, and verified" : `${String(inFile)} in the file, verified to be of them`}`,
    `  held       ${heldAgainst === null ? "against none of yours: --root ROOT does" : "against the one that you gave: the same"}`,
    verifiedText(document),
  ].join("\n");
}

function rootOf({ root, count }: MergedProofs["aggregate"]): { root: string; count: number } {
  return { root, count };
}

function allocations(count: number): string {
  return `${String(count)} allocation${count === 1 ? "" : "s"}`;
}
