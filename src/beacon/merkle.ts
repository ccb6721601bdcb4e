/**
 * Merkle trees over hashes, as RFC 6962 (Certificate Transparency) section 2.1 has them: leaves and inner nodes are hashed
 * with different prefixes, so that neither passes for the other. Hashes are 32 bytes of SHA-256.
 */
import { createHash } from "node:crypto";

export const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** Of no leaf: the hash of nothing, as the RFC says. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256();
  const [only] = leaves;
  if (leaves.length === 1 && only !== undefined) return sha256(LEAF, only);
  const at = split(leaves.length);
  return sha256(NODE, merkleRoot(leaves.slice(0, at)), merkleRoot(leaves.slice(at)));
}

/** The hashes beside the way from leaf `index` to the root, the lowest first: log2 of the number of leaves. RangeError for no such leaf. */
export function inclusionProof(leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  if (!(index >= 0 && index < leaves.length)) throw new RangeError(`no leaf ${String(index)} of ${String(leaves.length)}`);
  if (leaves.length === 1) return [];
  const at = split(leaves.length);
  const [left, right] = [leaves.slice(0, at), leaves.slice(at)];
  return index < at ? [...inclusionProof(left, index), merkleRoot(right)] : [...inclusionProof(right, index - at), merkleRoot(left)];
}

/** `merkleRoot` and every leaf's `inclusionProof`, in one pass over the tree. */
export function merkleTree(leaves: readonly Uint8Array[]): { root: Uint8Array; proofs: Uint8Array[][] } {
  if (leaves.length <= 1) return { root: merkleRoot(leaves), proofs: leaves.map(() => []) };
  const at = split(leaves.length);
  const [left, right] = [merkleTree(leaves.slice(0, at)), merkleTree(leaves.slice(at))];
  for (const proof of left.proofs) proof.push(right.root);
  for (const proof of right.proofs) proof.push(left.root);
  return { root: sha256(NODE, left.root, right.root), proofs: [...left.proofs, ...right.proofs] };
}

/** Whether `leaf` is number `index` of the `count` leaves under `root`. Never throws. RFC 9162, section 2.1.3.2. */
export function isIncluded(leaf: Uint8Array, index: number, count: number, proof: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!(Number.isSafeInteger(index) && Number.isSafeInteger(count) && index >= 0 && index < count)) return false;
  if (proof.some(({ length }) => length !== HASH_BYTES)) return false;
  let [at, last] = [index, count - 1];
  let hash = sha256(LEAF, leaf);
  for (const beside of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = sha256(NODE, beside, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else hash = sha256(NODE, hash, beside);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && Buffer.compare(hash, root) === 0;
}

/** The largest power of two that is less than `count`. */
function split(count: number): number {
  return 2 ** Math.ceil(Math.log2(count) - 1);
}

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return Uint8Array.from(hash.digest());
}
