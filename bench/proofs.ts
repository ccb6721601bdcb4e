/**
 * What a proof costs to make and to verify, for one allocation and for 1,000, as multiples of as many bare signatures over
 * as many bytes; a chain's place under a node's root over 1,000; and one of 10, 1,000 and 100,000 merged ones: its way to the
 * root alone, by bare hashes, and the whole extracted file. Processor time; the disk is not in it.
 */
import { createHash, sign, verify } from "node:crypto";
import { type AdmittedKey, KeyAdmission } from "../src/beacon/keys.js";
import { inclusionProof, isIncluded, merkleRoot } from "../src/beacon/merkle.js";
import { type ProofFile, proofFileText, verifyProofFile } from "../src/beacon/proof-file.js";
import { leafOf, mergedFileText, verifyMerged } from "../src/beacon/proof-merge.js";
import { decisionOpener } from "../src/policy/proved-decision.js";
import type { AllocationRun } from "../src/sidecar/nomad-runs.js";
import { AllocationChain, type Kept, type Signing } from "../src/sidecar/proofs/allocation-chain.js";
import { identity, NOW_MS } from "../test/harness/records.js";
import { median, range, type Report, runBench } from "./report.js";

const LOOK_MS = 30_000;
const ALLOCATIONS = 1_000;
const MERGED = [10, 1_000, 100_000];
const me = identity(1);
const keys = new KeyAdmission();
const { hex, verifier } = keys.admit(me.publicKey) as AdmittedKey;
const signing: Signing = { node: "node-1", datacenter: "dc1", epoch: 1, beacon: { hash: "22".repeat(32), sealed: Buffer.alloc(171) }, identity: me, keys };

await runBench({ rounds: 9 }, measure);

function idOf(i: number): string {
  return `${i.toString(16).padStart(8, "0")}-0000-4000-8000-112233445566`;
}

/** 40 looks, 20 minutes: a segment for the start, one for each ten looks, one for the end. */
function chainOf(i: number): readonly Uint8Array[] {
  const id = idOf(i);
  let kept: Kept = { segments: [], beacons: [], eventsUntilNs: {} };
  const chain = new AllocationChain(LOOK_MS, null, { keys, isOwnKey: () => true }, (now) => (kept = now));
  const started = { type: "Started", atNs: NOW_MS * 1e6 };
  const run: AllocationRun = {
    id, jobId: "web", namespace: "default", taskGroup: "app", jobVersion: 0, jobHash: "11".repeat(32), driver: "docker", clientStatus: "running",
    tasks: [{ name: "web", startedAtMs: NOW_MS, restarts: 0, events: [started] }],
  };
  for (let look = 1; look <= 40; look++) chain.see(run, { cpuPpm: 125_000, memoryBytes: 67_108_864 + look }, NOW_MS + look * LOOK_MS, signing);
  const endMs = NOW_MS + 40 * LOOK_MS + 1;
  const ended = { type: "Terminated", atNs: endMs * 1e6, exitCode: 0 };
  chain.see({ ...run, clientStatus: "complete", tasks: [{ name: "web", startedAtMs: NOW_MS, finishedAtMs: endMs, restarts: 0, events: [started, ended] }] }, undefined, endMs, signing);
  return kept.segments;
}

function fileOf(chains: readonly (readonly Uint8Array[])[]): string {
  return proofFileText({ v: 1, chains: chains.map((segments) => ({ segments: segments.map((sealed) => Buffer.from(sealed).toString("base64")) })), rotations: [] });
}

/** The file as number `count / 2` of so many, the others being any; alone with its way to the root. */
function extractedFrom(count: number, file: ProofFile): { leaf: Uint8Array; index: number; path: Uint8Array[]; root: Uint8Array; text: string } {
  const index = count / 2;
  const leaf = leafOf(file, index, count);
  const leaves = Array.from({ length: count }, (_, i) => (i === index ? leaf : createHash("sha256").update(String(i)).digest()));
  const [root, path] = [merkleRoot(leaves), inclusionProof(leaves, index)];
  const hex = (hash: Uint8Array): string => Buffer.from(hash).toString("hex");
  return { leaf, index, path, root, text: mergedFileText({ v: 1, aggregate: { count, root: hex(root) }, proofs: [{ allocation: idOf(0), index, path: path.map(hex), file }] }) };
}

function measure({ rounds }: { rounds: number }): Report {
  const all = Array.from({ length: ALLOCATIONS }, (_, i) => chainOf(i));
  const perChain = all[0]?.length ?? 0;
  const bytes = Math.round((all[0] ?? []).reduce((sum, { length }) => sum + length, 0) / perChain);
  const message = Buffer.alloc(bytes, 7);
  const signature = sign(null, message, me.privateKey);
  const [one, thousand] = [fileOf(all.slice(0, 1)), fileOf(all)];
  const verified = (text: string) => () => verifyProofFile(text, new Set([hex]), keys, decisionOpener(keys)).ok;
  const leaves = all.map((_, i) => Buffer.from(i.toString(16).padStart(64, "0"), "hex"));
  const [root, path] = [merkleRoot(leaves), inclusionProof(leaves, 700)];
  const bareSign = () => sign(null, message, me.privateKey).length > 0;
  const bareVerify = () => verify(null, message, verifier, signature);
  const block = Buffer.alloc(65, 7); // an inner node of the tree: a prefix and two hashes
  const bareHash = () => createHash("sha256").update(block).digest().length > 0;
  const file = JSON.parse(one) as ProofFile;
  const merged = MERGED.map((count) => ({ count, ...extractedFrom(count, file) }));
  const works = [
    { what: "make, one allocation", against: "sign", bareCalls: perChain, times: 20, ours: () => chainOf(1).length === perChain, bare: bareSign },
    { what: "make, 1,000 allocations", against: "sign", bareCalls: perChain * ALLOCATIONS, times: 1, ours: () => all.every((_, i) => chainOf(i).length === perChain), bare: bareSign },
    { what: "verify a file of one", against: "verify", bareCalls: perChain, times: 20, ours: verified(one), bare: bareVerify },
    { what: "verify a file of 1,000", against: "verify", bareCalls: perChain * ALLOCATIONS, times: 1, ours: verified(thousand), bare: bareVerify },
    { what: `place under a root of 1,000 (${String(path.length)} hashes)`, against: "verify", bareCalls: 1, times: 200, ours: () => isIncluded(leaves[700] as Buffer, 700, ALLOCATIONS, path, root), bare: bareVerify },
    ...merged.map(({ count, leaf, index, path: way, root: over }) =>
      ({ what: `way to a root of ${count.toLocaleString("en")} merged (${String(way.length)} hashes)`, against: "hash", bareCalls: way.length + 1, times: 20_000, ours: () => isIncluded(leaf, index, count, way, over), bare: bareHash })),
    ...merged.map(({ count, text, path: way }) =>
      ({ what: `verify one extracted of ${count.toLocaleString("en")} (${String(way.length)} hashes)`, against: "verify", bareCalls: perChain, times: 100, ours: () => verifyMerged(text, undefined, new Set([hex]), keys, decisionOpener(keys)).ok, bare: bareVerify })),
  ];
  for (const { ours, bare } of works) if (!ours() || !bare()) throw new Error("it does not verify, so its time means nothing");
  const rows = works.map(({ what, against, bareCalls, times, ours, bare }) => {
    const timings = Array.from({ length: rounds }, () => {
      const bareUs = timed(bare, bareCalls * times) * bareCalls;
      return { oursUs: timed(ours, times), bareUs };
    });
    const ratios = timings.map(({ oursUs, bareUs }) => oursUs / bareUs);
    return { what, bareCalls, oursMs: median(timings.map(({ oursUs }) => oursUs)) / 1_000, against, bareMs: median(timings.map(({ bareUs }) => bareUs)) / 1_000, ratio: median(ratios), ratioRange: range(ratios, 2) };
  });
  return {
    title: "Proofs",
    method:
      `Method: ${String(rounds)} rounds; an allocation has 40 looks in ${String(perChain)} segments of ${String(bytes)} bytes, sealed. In each round as many bare calls over as\n` +
      "many bytes, then ours. Processor time, medians; the ratio is taken within each round. Every result is checked. Making includes\n" +
      "opening each segment again; neither the disk nor Nomad is in it.",
    columns: [
      { key: "what", heading: "What" },
      { key: "bareCalls", heading: "Bare calls" },
      { key: "oursMs", heading: "ms", digits: 3 },
      { key: "against", heading: "Bare" },
      { key: "bareMs", heading: "ms", digits: 3 },
      { key: "ratio", heading: "Ratio", digits: 2 },
      { key: "ratioRange", heading: "Min–max" },
    ],
    rows,
  };
}

/** Microseconds of processor time a call. */
function timed(call: () => boolean, times: number): number {
  const from = process.cpuUsage();
  for (let i = 0; i < times; i++) if (!call()) throw new Error("a call failed, so its time means nothing");
  const { user, system } = process.cpuUsage(from);
  return (user + system) / times;
}
