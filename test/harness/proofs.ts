/** Proof chains for tests: real keys, real seals, opened like any other. */
import { openStatement, seal, type Signed } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { inclusionProof, merkleRoot } from "../../src/beacon/merkle.js";
import { nextSegment, type NewSegment } from "../../src/beacon/proof-chain.js";
import { PROOF, PROOF_AGGREGATE } from "../../src/beacon/proof-codec.js";
import type { ProofFile, RootPlace } from "../../src/beacon/proof-file.js";
import { endOf, type ProofSegment, type ProofSubject } from "../../src/beacon/proof-record.js";
import { identity, NOW_MS, type TestIdentity } from "./records.js";

export const SUBJECT: ProofSubject = {
  node: "node-1", datacenter: "dc1", allocation: "0a9b4c8d-0000-4000-8000-112233445566", job: "web", namespace: "default", taskGroup: "app",
  jobVersion: 0, jobHash: "11".repeat(32), driver: "raw_exec", decisionId: "ab".repeat(16),
};
export const STARTED_MS = NOW_MS - 600_000;

export function segmentAfter(last: Signed<ProofSegment> | undefined, fields: Partial<NewSegment & ProofSubject> = {}, by: TestIdentity = identity(1), keep = 100): Signed<ProofSegment> {
  const fromMs = last === undefined ? STARTED_MS : endOf(last.record);
  const { epoch = last?.record.epoch ?? 1, issuedAtMs = fromMs + 60_000, beaconHash = "22".repeat(32), events = [], ended = "", restarts = last?.record.totals.restarts ?? 0, spans, ...subject } = fields;
  const taken = spans ?? [{ endMs: fromMs + 30_000, cpuPpm: 120, memoryBytes: 1_000_000 }, { endMs: fromMs + 60_000, cpuPpm: 80 }];
  return sealed(nextSegment({ ...SUBJECT, ...subject }, last, STARTED_MS, { epoch, issuedAtMs, beaconHash, events, ended, restarts, spans: taken }, keep), by);
}

export function sealed(segment: ProofSegment, by: TestIdentity = identity(1)): Signed<ProofSegment> {
  const opened = openStatement(PROOF, seal(PROOF, segment, by), new KeyAdmission());
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.signed;
}

/** `count` segments, the last one of an allocation that is complete. */
export function chainOf(count: number, { by = identity(1), keep = 100 }: { by?: TestIdentity; keep?: number } = {}): Signed<ProofSegment>[] {
  const chain: Signed<ProofSegment>[] = [];
  for (let i = 0; i < count; i++) {
    const events = i === 0 ? [{ task: "web", type: "Started", atMs: STARTED_MS }] : i === count - 1 ? [{ task: "web", type: "Terminated", atMs: NOW_MS, exitCode: 3, signal: 9 }] : [];
    chain.push(segmentAfter(chain.at(-1), { events, ended: i === count - 1 ? "complete" : "" }, by, keep));
  }
  return chain;
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** With the newest segment as leaf 1 of three. */
export function rootOver(newest: Signed<ProofSegment>, by: TestIdentity = identity(1), epoch = 1): RootPlace {
  const leaves = ["33".repeat(32), newest.hash, "44".repeat(32)].map((hash) => Buffer.from(hash, "hex"));
  const aggregate = { node: newest.record.node, datacenter: newest.record.datacenter, epoch, issuedAtMs: NOW_MS, count: 3, root: Buffer.from(merkleRoot(leaves)).toString("hex") };
  return { sealed: base64(seal(PROOF_AGGREGATE, aggregate, by)), index: 1, path: inclusionProof(leaves, 1).map((hash) => Buffer.from(hash).toString("hex")) };
}

export function fileOf(chain: readonly Signed<ProofSegment>[], more: { root?: RootPlace; rotations?: [string, string][] } = {}): ProofFile {
  return { v: 1, chains: [{ segments: chain.map(({ sealed: bytes }) => base64(bytes)), ...(more.root === undefined ? {} : { root: more.root }) }], rotations: more.rotations ?? [] };
}
