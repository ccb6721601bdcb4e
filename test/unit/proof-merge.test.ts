/** Files of `proof merge` and `proof extract`: verified by pinned keys and a root; whatever is changed in them is named. */
import fc from "fast-check";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { type ProofFile, proofFileText } from "../../src/beacon/proof-file.js";
import { extractProof, isMerged, leafOf, mergedFileText, type MergedProofs, type MergedVerdict, mergeProofs, verifyMerged } from "../../src/beacon/proof-merge.js";
import { sealRotation } from "../../src/beacon/rotation.js";
import { merkleRoot } from "../../src/beacon/merkle.js";
import { verifiedMergedDocument, verifiedMergedText } from "../../src/commands/views/merged-proofs.js";
import { decisionOpener } from "../../src/policy/proved-decision.js";
import { base64, fileOf, rootOver, segmentAfter } from "../harness/proofs.js";
import { identity, NOW_MS } from "../harness/records.js";

const keys = new KeyAdmission();
const hex = (which: number): string => Buffer.from(identity(which).publicKey).toString("hex");
const TRUSTED = new Set([1, 2, 3].map(hex));
const opener = decisionOpener(keys);
const idOf = (number: number): string => `${number.toString(16).padStart(8, "0")}-0000-4000-8000-112233445566`;

/** Allocation `number` as node `which` proves it. */
function proofOf(number: number, which = 1, length = 2): ProofFile["chains"][number] {
  const subject = { node: `node-${String(which)}`, allocation: idOf(number) };
  const chain = [segmentAfter(undefined, subject, identity(which))];
  while (chain.length < length) chain.push(segmentAfter(chain.at(-1), subject, identity(which)));
  const newest = chain.at(-1) as (typeof chain)[number];
  return fileOf(chain, { root: rootOver(newest, identity(which)) }).chains[0] as ProofFile["chains"][number];
}
const rotation = sealRotation({ node: "node-2", datacenter: "dc1", epoch: 5, issuedAtMs: NOW_MS }, identity(2), identity(4));
const FILES: ProofFile[] = [
  { v: 1, chains: [proofOf(2), proofOf(5)], rotations: [] },
  { v: 1, chains: [proofOf(1, 2), proofOf(4, 2)], rotations: [[base64(rotation.byOld), base64(rotation.byNew)]] },
  { v: 1, chains: [proofOf(3, 3)], rotations: [] },
];
const merge = (files: readonly ProofFile[], trusted: ReadonlySet<string> = TRUSTED): MergedProofs =>
  mergeProofs(files.map((file, i) => ({ name: `file-${String(i + 1)}`, text: proofFileText(file) })), trusted, keys, opener);
const verify = (file: MergedProofs | string, root?: string): MergedVerdict => verifyMerged(typeof file === "string" ? file : mergedFileText(file), root, TRUSTED, keys, opener);

const merged = merge(FILES);
const { root } = merged.aggregate;
const extracted = extractProof(mergedFileText(merged), idOf(3));

test("many nodes' files under one root: each allocation once, in their order, whatever the order of the files", () => {
  expect(merged.aggregate.count).toBe(5);
  expect(merged.proofs.map(({ allocation, index, file }) => [allocation, index, file.chains.length])).toEqual([1, 2, 3, 4, 5].map((number, index) => [idOf(number), index, 1]));
  expect(root).toBe(Buffer.from(merkleRoot(merged.proofs.map(({ file }, i) => leafOf(file, i, 5)))).toString("hex"));
  expect(merge([...FILES].reverse())).toEqual(merged);
  expect(merge([...FILES, FILES[1] as ProofFile])).toEqual(merged);
  expect(verify(merged, root)).toMatchObject({ ok: true, aggregate: { count: 5, root }, chains: [{ last: { record: { node: "node-2" } } }, {}, {}, {}, {}] });
});

test("each one taken out verifies by itself under that root, by as many hashes as the logarithm of the count", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), (count, which) => {
    const all = merge([{ v: 1, chains: Array.from({ length: count }, (_, i) => proofOf(i, 1, 1)), rotations: [] }]);
    const one = extractProof(mergedFileText(all), idOf(which % count));
    expect(one.proofs[0]?.path.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count)));
    expect(verify(one, all.aggregate.root)).toMatchObject({ ok: true, aggregate: all.aggregate, chains: [{ last: { record: { allocation: idOf(which % count) } } }] });
  }), { numRuns: 15 });
});

test("a root that the reader holds is another one: named, in a file that is sound", () => {
  for (const file of [merged, extracted]) expect(verify(file, "ab".repeat(32))).toMatchObject({ ok: false, step: "aggregate", detail: expect.stringContaining(`root ${root}`) });
});

test.each([["merged", merged], ["extracted", extracted]])("any byte changed, anywhere in the %s file", (_, file) => {
  const text = Buffer.from(mergedFileText(file));
  fc.assert(fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
    const changed = Buffer.from(text);
    changed[at] = (changed[at] ?? 0) ^ by;
    return !verify(changed.toString("latin1")).ok;
  }), { numRuns: 1_000 });
});

test("place and count are under the root: no other tree has the same way to it", () => {
  const [proof] = extracted.proofs as [MergedProofs["proofs"][0]];
  for (let count = 0; count < 40; count++) {
    for (let index = 0; index < 40; index++) {
      if (index === 2 && count === 5) continue;
      expect(verify({ ...extracted, aggregate: { count, root }, proofs: [{ ...proof, index }] })).toMatchObject({ ok: false, step: "aggregate" });
    }
  }
});

const [first, second, ...rest] = merged.proofs as [MergedProofs["proofs"][0], MergedProofs["proofs"][0], ...MergedProofs["proofs"]];
const bare = (proof: MergedProofs["proofs"][0], field: "root" | "rotations"): MergedProofs["proofs"][0] => {
  const { chains: [chain], rotations } = proof.file;
  const { root: place, ...others } = chain as ProofFile["chains"][0];
  return { ...proof, file: { v: 1, chains: [field === "root" ? others : { ...others, ...(place === undefined ? {} : { root: place }) }], rotations: field === "rotations" ? [] : rotations } };
};
test.each<[string, MergedProofs["proofs"], number]>([
  ["two exchanged", [second, first, ...rest], 2],
  ["one twice", [first, first, second, ...rest], 2],
  ["one under another's name", [{ ...first, allocation: idOf(0) }, second, ...rest], 1],
  ["one in another's place", [{ ...second, index: 0 }, ...rest], 1],
  ["one without its node's root", [bare(first, "root"), second, ...rest], 1],
  ["one without its rotations", [bare(first, "rotations"), second, ...rest], 1],
  ["two at one place", [{ ...first, file: { v: 1, chains: [...first.file.chains, ...second.file.chains], rotations: first.file.rotations } }, second, ...rest], 1],
  ["one with a hash too many", [{ ...first, path: [...first.path, "00".repeat(32)] }, second, ...rest], 1],
])("%s is named", (_, proofs, chain) => {
  expect(verify({ ...merged, proofs })).toMatchObject({ ok: false, step: "aggregate", chain });
});

test("what is wrong with a proof itself is named as in its own file", () => {
  const [last] = merged.proofs.slice(-1) as [MergedProofs["proofs"][0]];
  const [chain] = last.file.chains as [ProofFile["chains"][0]];
  const cut: MergedProofs = { ...merged, proofs: [...merged.proofs.slice(0, 4), { ...last, file: { ...last.file, chains: [{ ...chain, segments: chain.segments.slice(1) }] } }] };
  expect(verify(cut)).toMatchObject({ ok: false, step: "chain", chain: 5, position: 1 });
  expect(verifyMerged(mergedFileText(merged), root, new Set([1, 2].map(hex)), keys, opener)).toMatchObject({ ok: false, step: "key", chain: 3, position: 1 });
});

test("some of them are some of them, and the words say so", () => {
  const some = { ...merged, proofs: merged.proofs.slice(1, 3) };
  const words = (file: MergedProofs, given?: string) => verifiedMergedText(verifiedMergedDocument(verify(file, given), TRUSTED, given !== undefined));
  expect(words(some)).toContain(`Root ${root} over 5 allocations: 2 in the file, verified to be of them\n  held       against none of yours`);
  expect(words(merged, root)).toContain(`Root ${root} over 5 allocations: all in the file, and verified\n  held       against the one that you gave: the same\nAllocation ${idOf(1)}`);
  expect(words(merged)).toContain("nobody signs the root");
  expect(words({ ...merged, aggregate: { ...merged.aggregate, count: 6 } })).toMatch(/^does not verify: aggregate \(chain 1\): /);
});

test("a file that does not verify is not merged, nor are two that tell one allocation differently", () => {
  expect(() => merge(FILES, new Set([1, 2].map(hex)))).toThrow(expect.objectContaining({ code: "unverified", message: expect.stringContaining("file-3 does not verify: key (chain 1, entry 1)") as string }) as Error);
  expect(() => merge([...FILES, { v: 1, chains: [proofOf(3, 3, 3)], rotations: [] }])).toThrow(expect.objectContaining({ code: "contradiction", message: expect.stringMatching(/is in file-3 and, not the same, in file-4/) as string }) as Error);
});

test("one is taken out by eight characters of its allocation; what is not there, or not sound, is refused", () => {
  const text = mergedFileText(merged);
  expect(extractProof(text, idOf(3).slice(0, 8))).toEqual(extracted);
  expect(extractProof(mergedFileText(extracted), idOf(3))).toEqual(extracted);
  for (const [given, workload, code] of [[text, idOf(9), "no-proof"], [text, "00000", "no-proof"], [proofFileText(FILES[0] as ProofFile), idOf(2), "damaged-proof"], [text.replace(root, "ab".repeat(32)), idOf(3), "damaged-proof"], [`${text} `, idOf(3), "damaged-proof"]] as const) {
    expect(() => extractProof(given, workload)).toThrow(expect.objectContaining({ code }) as Error);
  }
});

test("a file of export is none of these, and no text throws", () => {
  expect(isMerged(proofFileText(FILES[0] as ProofFile))).toBe(false);
  const { aggregate } = merged;
  for (const file of [null, 1, [], {}, { aggregate }, { v: 1, aggregate: null, proofs: [] }, { v: 1, aggregate, proofs: [] }, { v: 1, aggregate, proofs: [null] }, { ...extracted, v: 2 }, { v: 1, aggregate, proofs: [{ ...extracted.proofs[0], file: null }] }, { v: 1, aggregate, proofs: [{ ...extracted.proofs[0], path: [1] }] }]) {
    expect(verify(`${JSON.stringify(file, undefined, 1)}\n`)).toMatchObject({ ok: false });
  }
  fc.assert(fc.property(fc.string(), (text) => !verify(text).ok && !isMerged(text)));
});
