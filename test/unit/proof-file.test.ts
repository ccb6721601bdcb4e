/** The file of `proof export`: verified with a pinned key alone; whatever is changed in it is named, with its position. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { BEACON, seal, type Signed } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PROOF } from "../../src/beacon/proof-codec.js";
import { type ProofFile, type ProofFileVerdict, proofFileText, verifyProofFile } from "../../src/beacon/proof-file.js";
import type { ProofSegment } from "../../src/beacon/proof-record.js";
import { verifiedDocument, verifiedText } from "../../src/commands/views/proofs.js";
import { decide } from "../../src/policy/decide.js";
import { sealDecision } from "../../src/policy/decision-document.js";
import { decisionOpener } from "../../src/policy/proved-decision.js";
import { sealRotation } from "../../src/beacon/rotation.js";
import { base64, chainOf, fileOf, rootOver, segmentAfter } from "../harness/proofs.js";
import { evaluator } from "../harness/candidates.js";
import { fullView } from "../harness/node-views.js";
import { beacon, identity, NOW_MS } from "../harness/records.js";

const keys = new KeyAdmission();
const hex = (which: number): string => Buffer.from(identity(which).publicKey).toString("hex");
const verify = (file: ProofFile, ...trusted: number[]): ProofFileVerdict => verifyProofFile(proofFileText(file), new Set((trusted.length === 0 ? [1] : trusted).map(hex)), keys, decisionOpener(keys));

const chain = chainOf(4);
const newest = chain[3] as Signed<ProofSegment>;
const whole = fileOf(chain, { root: rootOver(newest) });
const segments = whole.chains[0]?.segments as string[];
const withSegments = (changed: string[]): ProofFile => ({ ...whole, chains: [{ ...whole.chains[0], segments: changed }] });

test("a chain, its events and its place under the root", () => {
  expect(verify(whole)).toMatchObject({
    ok: true,
    chains: [{ segments: 4, signers: [hex(1)], last: { record: { ended: "complete" } }, root: { position: 4, aggregate: { count: 3 } }, events: [{ type: "Started" }, { type: "Terminated", exitCode: 3, signal: 9 }] }],
  });
});

/** Each field of a segment, with another value that is as well formed. */
const OTHER: { [F in keyof Required<ProofSegment>]: ProofSegment[F] } = {
  node: "node-9", datacenter: "dc9", allocation: "other", job: "other", namespace: "other", taskGroup: "other", jobVersion: 7, jobHash: "99".repeat(32), driver: "docker",
  decisionId: "cd".repeat(16), epoch: 9, issuedAtMs: NOW_MS + 1, beaconHash: "99".repeat(32), index: 7, previousHash: "99".repeat(32), fromMs: chain[1]?.record.fromMs as number - 1,
  spans: [{ endMs: (chain[1]?.record.fromMs as number) + 60_000, memoryBytes: 5 }], events: [{ task: "web", type: "Started", atMs: NOW_MS }],
  totals: { watchedMs: 1, gapMs: 2, restarts: 3 }, ended: "failed", keptFrom: 1,
};
test.each(Object.entries(OTHER))("another %s in the second entry: under the node's old signature, and under a stranger's", (field, value) => {
  const second = chain[1] as Signed<ProofSegment>;
  const changed = { ...second.record, [field]: value } as ProofSegment;
  const strangers = seal(PROOF, changed, identity(2));
  expect(verify(withSegments([segments[0] as string, base64(strangers), ...segments.slice(2)]))).toMatchObject({ ok: false, step: "key", chain: 1, position: 2 });
  // The stranger's payload with the node's key and signature: the envelope is key, type, payload, signature.
  const forged = Buffer.from(strangers);
  Buffer.from(identity(1).publicKey).copy(forged, forged.indexOf(Buffer.from(identity(2).publicKey)));
  Buffer.from(second.signature).copy(forged, forged.length - second.signature.length);
  expect(verify(withSegments([segments[0] as string, base64(forged), ...segments.slice(2)]))).toMatchObject({ ok: false, step: "signature", chain: 1, position: 2 });
  // Signed anew by the node itself: what follows names the one that stood there.
  expect(verify(withSegments([segments[0] as string, base64(seal(PROOF, changed, identity(1))), ...segments.slice(2)]))).toMatchObject({ ok: false, step: "chain", chain: 1 });
});

test.each([
  ["removed", [0, 2, 3], 2],
  ["the first removed", [1, 2, 3], 1],
  ["reordered", [0, 2, 1, 3], 2],
  ["doubled", [0, 1, 1, 2, 3], 3],
])("an entry %s is named by its position", (_, order, position) => {
  expect(verify(withSegments(order.map((at) => segments[at] as string)))).toMatchObject({ ok: false, step: "chain", chain: 1, position });
});

test("the last entry removed: the root holds it, and nothing that is left", () => {
  expect(verify(withSegments(segments.slice(0, 3)))).toMatchObject({ ok: false, step: "root", chain: 1, detail: expect.stringContaining("none of the chain's") });
});

test("any byte changed, anywhere in the file", () => {
  const text = Buffer.from(proofFileText(whole));
  fc.assert(fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
    const changed = Buffer.from(text);
    changed[at] = (changed[at] ?? 0) ^ by;
    return !verifyProofFile(changed.toString("latin1"), new Set([hex(1)]), keys, decisionOpener(keys)).ok;
  }), { numRuns: 1_000 });
});

test.each(["", "{}", "null", "[]", '{"v":1,"chains":[],"rotations":[]}', '{"v":1,"chains":[null],"rotations":[]}', '{"v":1,"chains":[{"segments":[]}],"rotations":[]}'])("%s is no proof, and nothing throws", (text) => {
  expect(verifyProofFile(text, new Set([hex(1)]), keys, decisionOpener(keys))).toMatchObject({ ok: false });
});

test("two chains stand in the order of their allocations", () => {
  const other = [segmentAfter(undefined, { allocation: "1b9b4c8d-0000-4000-8000-112233445566" })];
  const [first, second] = [fileOf(chain).chains, fileOf(other).chains].flat() as [ProofFile["chains"][0], ProofFile["chains"][0]];
  expect(verify({ v: 1, chains: [first, second], rotations: [] })).toMatchObject({ ok: true });
  expect(verify({ v: 1, chains: [second, first], rotations: [] })).toMatchObject({ ok: false, step: "file", chain: 2 });
});

describe("a key that was rotated at epoch 5", () => {
  const { byOld, byNew } = sealRotation({ node: "node-1", datacenter: "dc1", epoch: 5, issuedAtMs: NOW_MS }, identity(1), identity(2));
  const rotations: [string, string][] = [[base64(byOld), base64(byNew)]];
  const before = segmentAfter(undefined, { epoch: 4 });
  const after = segmentAfter(before, { epoch: 5 }, identity(2));
  const rotated = fileOf([before, after], { rotations, root: rootOver(after, identity(2), 5) });

  test("what was signed before and after it verifies by the old key and by the new one", () => {
    for (const trusted of [1, 2]) expect(verify(rotated, trusted)).toMatchObject({ ok: true, chains: [{ signers: [hex(1), hex(2)] }] });
    expect(verify(rotated, 3)).toMatchObject({ ok: false, step: "key", position: 1 });
  });

  test("without the rotation, or with another node's, it does not", () => {
    const foreign = sealRotation({ node: "node-2", datacenter: "dc1", epoch: 5, issuedAtMs: NOW_MS }, identity(1), identity(2));
    for (const other of [[], [[base64(foreign.byOld), base64(foreign.byNew)]]] as [string, string][][]) expect(verify({ ...rotated, rotations: other })).toMatchObject({ ok: false, step: "key", position: 2 });
  });

  test("the old key says nothing from that epoch on, and the new one nothing before it", () => {
    expect(verify(fileOf([before, segmentAfter(before, { epoch: 5 })], { rotations }), 2)).toMatchObject({ ok: false, step: "key", position: 2, detail: expect.stringContaining("given up at epoch 5") });
    expect(verify(fileOf([segmentAfter(undefined, { epoch: 4 }, identity(2))], { rotations }), 2)).toMatchObject({ ok: false, step: "key", position: 1, detail: expect.stringContaining("from epoch 5 on") });
  });

  test("a rotation with one seal changed is named", () => {
    expect(verify({ ...rotated, rotations: [[base64(byNew), base64(byNew)]] })).toMatchObject({ ok: false, step: "rotations", position: 1 });
  });
});

describe("with the beacons and the decision that the chain names", () => {
  const beacons = [1, 2].map((sequence) => seal(BEACON, beacon({ node: "node-1", sequence, priceMicroUsdPerGb: 10_000 * sequence }), identity(1)));
  const hashes = beacons.map((sealed) => createHash("sha256").update(sealed).digest("hex"));
  let full: ProofFile;
  let decisionId: string;
  let sealedDecision: (by: { node: string; key: number }) => Promise<{ id: string; sealed: Uint8Array }>;

  beforeAll(async () => {
    sealedDecision = async ({ node, key }) => {
      const made = sealDecision(await decide({ nodes: [fullView({ name: node, key })], policies: { spawn: evaluator({ name: "near" }) }, nowMs: NOW_MS }), { node: "node-2", datacenter: "dc1" }, identity(2), keys);
      return { id: made.id, sealed: made.signed.sealed };
    };
    const { id, sealed } = await sealedDecision({ node: "node-1", key: 1 });
    decisionId = id;
    const first = segmentAfter(undefined, { beaconHash: hashes[0] as string, decisionId });
    const second = segmentAfter(first, { beaconHash: hashes[0] as string, decisionId });
    const third = segmentAfter(second, { beaconHash: hashes[1] as string, decisionId, ended: "complete" });
    const [plain] = fileOf([first, second, third]).chains as [ProofFile["chains"][0]];
    full = { v: 1, chains: [{ ...plain, beacons: beacons.map(base64), decision: base64(sealed), root: rootOver(third) }], rotations: [] };
  });
  const changed = (change: Partial<ProofFile["chains"][0]>): ProofFile => ({ ...full, chains: [{ ...(full.chains[0] as ProofFile["chains"][0]), ...change }] });

  test("it says what the node said of itself, who decided, by which policy, and where the node stood", () => {
    expect(verify(full)).toMatchObject({
      ok: true,
      chains: [{
        beacons: [{ sequence: 1, priceMicroUsdPerGb: 10_000 }, { sequence: 2, priceMicroUsdPerGb: 20_000 }],
        decision: { id: decisionId, deciderKey: hex(2), decider: { node: "node-2" }, place: 1, candidates: 1, policies: [{ role: "spawn", name: "near", sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string }] },
      }],
    });
    const { chains: [chainSaid] } = verifiedDocument(verify(full), new Set([hex(1)]));
    expect(chainSaid).toMatchObject({ decision: { trusted: false }, beacons: { count: 2, latest: { sequence: 2, priceMicroUsdPerGb: 20_000 } } });
    expect(verifiedDocument(verify(full, 1, 2), new Set([hex(1), hex(2)])).chains).toMatchObject([{ decision: { trusted: true } }]);
    expect(verifiedText(verifiedDocument(verify(whole), new Set([hex(1)])))).toMatch(/beacon +sha256 [0-9a-f]{64}, not in the file\n +decision +\S+, not in the file/);
    expect(verifiedText(verifiedDocument(verify(full), new Set([hex(1)])))).toMatch(/decided by node-2, key [0-9a-f]{64}, which is none of the given keys\n +policy +spawn near, sha256 /);
  });

  test("any byte changed, anywhere in the file", () => {
    const text = Buffer.from(proofFileText(full));
    fc.assert(fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const other = Buffer.from(text);
      other[at] = (other[at] ?? 0) ^ by;
      return !verifyProofFile(other.toString("latin1"), new Set([hex(1)]), keys, decisionOpener(keys)).ok;
    }), { numRuns: 1_000 });
  });

  test.each<[string, () => string[], number]>([
    ["one missing", () => beacons.slice(0, 1).map(base64), 2],
    ["one too many", () => [...beacons, seal(BEACON, beacon({ node: "node-1", sequence: 3 }), identity(1))].map(base64), 3],
    ["reordered", () => [...beacons].reverse().map(base64), 1],
    ["another of the node's", () => [beacons[0] as Uint8Array, seal(BEACON, beacon({ node: "node-1", sequence: 9 }), identity(1))].map(base64), 2],
    ["no beacon at all", () => [base64(Buffer.from("x")), base64(beacons[1] as Uint8Array)], 1],
  ])("beacons: %s", (_, make, position) => {
    expect(verify(changed({ beacons: make() }))).toMatchObject({ ok: false, step: "beacon", chain: 1, position });
  });

  test("a stranger's beacon is none, though the node named it", () => {
    const stranger = seal(BEACON, beacon({ node: "node-1" }), identity(3));
    const only = segmentAfter(undefined, { beaconHash: createHash("sha256").update(stranger).digest("hex") });
    expect(verify({ v: 1, chains: [{ ...(fileOf([only]).chains[0] as ProofFile["chains"][0]), beacons: [base64(stranger)] }], rotations: [] })).toMatchObject({ ok: false, step: "beacon", position: 1 });
  });

  test("decisions: another one, one in which the node is no candidate, and none at all", async () => {
    const other = await sealedDecision({ node: "node-7", key: 7 });
    expect(verify(changed({ decision: base64(other.sealed) }))).toMatchObject({ ok: false, step: "decision", detail: expect.stringContaining("node-1 is no candidate") });
    expect(verify(changed({ decision: base64(Buffer.from("x")) }))).toMatchObject({ ok: false, step: "decision" });
    const mine = await sealedDecision({ node: "node-1", key: 4 });
    expect(verify(changed({ decision: base64(mine.sealed) }))).toMatchObject({ ok: false, step: "decision", detail: expect.stringContaining(`the chain names ${decisionId}`) });
  });
});
