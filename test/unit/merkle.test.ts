/** Merkle trees of RFC 6962, with the test vectors that Certificate Transparency's implementations share. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { inclusionProof, isIncluded, merkleRoot } from "../../src/beacon/merkle.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
/** The inputs of certificate-transparency's merkle tree tests. */
const INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map((text) => Buffer.from(text, "hex"));
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("no leaf is the hash of nothing", () => {
  expect(hex(merkleRoot([]))).toBe(createHash("sha256").digest("hex"));
});

test.each(ROOTS.map((root, i) => [i + 1, root]))("the shared vectors: %s leaves", (count, root) => {
  expect(hex(merkleRoot(INPUTS.slice(0, Number(count))))).toBe(root);
});

const leaves = fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { minLength: 1, maxLength: 70 });

test("every leaf is included, by as many hashes as the logarithm of the count", () => {
  fc.assert(fc.property(leaves, (all) =>
    all.every((leaf, i) => {
      const proof = inclusionProof(all, i);
      return proof.length <= Math.ceil(Math.log2(all.length)) && isIncluded(leaf, i, all.length, proof, merkleRoot(all));
    }),
  ), { numRuns: 40 });
});

test("with one bit changed, in the leaf, the proof or the root, or at another place, it is not", () => {
  fc.assert(fc.property(leaves, fc.nat(), fc.nat(), (all, which, bit) => {
    const index = which % all.length;
    const [leaf, proof, root] = [all[index] as Uint8Array, inclusionProof(all, index), merkleRoot(all)];
    const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === bit % 32 ? byte ^ (1 << bit % 8) : byte));
    expect(isIncluded(flip(leaf), index, all.length, proof, root)).toBe(false);
    expect(isIncluded(leaf, index, all.length, proof, flip(root))).toBe(false);
    proof.forEach((_, i) => expect(isIncluded(leaf, index, all.length, proof.map((hash, j) => (i === j ? flip(hash) : hash)), root)).toBe(false));
    expect(isIncluded(leaf, index, all.length, [...proof, root], root)).toBe(false);
    if (proof.length > 0) expect(isIncluded(leaf, index, all.length, proof.slice(1), root)).toBe(false);
    for (const [at, count] of [[-1, all.length], [all.length, all.length], [0.5, all.length], [Number.NaN, 1]] as const) expect(isIncluded(leaf, at, count, proof, root)).toBe(false);
  }), { numRuns: 100 });
});

test("an inner node does not pass for a leaf", () => {
  const all = INPUTS.slice(0, 4).map((input) => createHash("sha256").update(input).digest());
  const [a, b] = all as [Buffer, Buffer];
  const inner = Buffer.concat([a, b]);
  expect(isIncluded(inner, 0, 2, [merkleRoot(all.slice(2))], merkleRoot(all))).toBe(false);
});
