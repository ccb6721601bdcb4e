/**
 * The file of `proof export`: chains of segments as they were signed, the beacons and the decision that they name, the
 * rotations of the node's key, and where a chain stands under the node's published root. It has one spelling, and each byte of it is covered: by a signature, by the
 * order of the chain, or by the root. Verifying takes the file and pinned keys, and nothing else.
 */
import { BEACON, openStatement, type Signed } from "./envelope.js";
import type { KeyAdmission } from "./keys.js";
import { isIncluded } from "./merkle.js";
import { checkChain, type ChainVerdict } from "./proof-chain.js";
import { PROOF, PROOF_AGGREGATE, type ProofAggregate } from "./proof-codec.js";
import type { ProofSegment } from "./proof-record.js";
import type { Beacon } from "./record.js";
import { openRotation, type Rotation } from "./rotation.js";
import { chainFrom, keysBefore } from "./rotation-chain.js";

export interface RootPlace {
  /** A sealed ProofAggregate, base64. */
  sealed: string;
  index: number;
  /** Hex hashes beside the way to the root. */
  path: string[];
}

export interface ProofFile {
  v: 1;
  /** In the order of their allocations. */
  chains: {
    segments: string[];
    /** The sealed beacons that the segments name, in the order of their first naming; all of them or none. */
    beacons?: string[];
    /** The sealed decision that placed the job. */
    decision?: string;
    root?: RootPlace;
  }[];
  /** Sealed by the old key and by the new one, base64. */
  rotations: [string, string][];
}

export interface VerifiedChain {
  last: Signed<ProofSegment>;
  segments: number;
  /** Hex, each in the order of its first segment. */
  signers: readonly string[];
  verdict: ChainVerdict & { ok: true };
  /** Absent where the node had published no root with it yet; `position` of the segment that the root holds, from 1. */
  root?: { aggregate: ProofAggregate; position: number };
  /** What the node said of itself while it ran; absent where the file has them not. */
  beacons?: readonly Beacon[];
  decision?: ProvedDecision;
  events: ProofSegment["events"];
  spans: ProofSegment["spans"];
}

/** Why the job was placed here, by whoever's key signed it. */
export interface ProvedDecision {
  id: string;
  /** Hex. Whether it is to be believed is for who reads: it may be another node's. */
  deciderKey: string;
  decider: { node: string; datacenter: string };
  decidedAtMs: number;
  /** From 1, of `candidates`: the placer takes the next one where a better one refuses. */
  place: number;
  candidates: number;
  policies: readonly { role: string; name: string; sha256: string }[];
}

/** A sealed decision opened (src/policy): how it stands to a node, or what is wrong. */
export type DecisionOpener = (sealed: Uint8Array, node: string) => { ok: true; decision: ProvedDecision } | { ok: false; detail: string };

export type ProofFileVerdict =
  | { ok: true; chains: VerifiedChain[] }
  /** The first thing that is wrong. `chain` and `position` count from 1. */
  | { ok: false; step: "file" | "rotations" | "signature" | "key" | "chain" | "beacon" | "decision" | "root" | "aggregate"; chain?: number; position?: number; detail: string };

export function proofFileText(file: ProofFile): string {
  return `${JSON.stringify(file, undefined, 1)}\n`;
}

/** `trusted`: hex of whole keys. Never throws on any text. */
export function verifyProofFile(text: string, trusted: ReadonlySet<string>, keys: KeyAdmission, openDecision: DecisionOpener): ProofFileVerdict {
  const file = parse(text);
  if (typeof file === "string") return { ok: false, step: "file", detail: file };
  const rotations: Rotation[] = [];
  for (const [i, [byOld, byNew]] of file.rotations.entries()) {
    const opened = openRotation({ byOld: Buffer.from(byOld, "base64"), byNew: Buffer.from(byNew, "base64") }, keys);
    if (!opened.ok) return { ok: false, step: "rotations", position: i + 1, detail: `${opened.reason}: ${opened.detail}` };
    rotations.push(opened.rotation);
  }
  const chains: VerifiedChain[] = [];
  for (const [i, chain] of file.chains.entries()) {
    const verified = verifyChain(chain, { trusted, rotations, keys, openDecision });
    if ("step" in verified) return { ...verified, chain: i + 1 };
    const before = chains.at(-1)?.last.record.allocation;
    const { allocation } = verified.last.record;
    if (before !== undefined && before >= allocation) return { ok: false, step: "file", chain: i + 1, detail: `allocation ${allocation} stands after ${before}` };
    chains.push(verified);
  }
  return { ok: true, chains };
}

export interface KeyTrust {
  /** Hex of whole keys. */
  trusted: ReadonlySet<string>;
  rotations: readonly Rotation[];
}

interface Trust extends KeyTrust {
  keys: KeyAdmission;
  openDecision: DecisionOpener;
}
type Broken = ProofFileVerdict & { ok: false };

function verifyChain({ segments, beacons, decision, root }: ProofFile["chains"][number], trust: Trust): VerifiedChain | Broken {
  const opened: Signed<ProofSegment>[] = [];
  for (const [i, sealed] of segments.entries()) {
    const one = openStatement(PROOF, Buffer.from(sealed, "base64"), trust.keys);
    if (!one.ok) return { ok: false, step: "signature", position: i + 1, detail: `${one.reason}: ${one.detail}` };
    const fault = keyFaultOf(one.signed, trust);
    if (fault !== undefined) return { ok: false, step: "key", position: i + 1, detail: fault };
    opened.push(one.signed);
  }
  const verdict = checkChain(opened);
  if (!verdict.ok) return { ok: false, step: "chain", position: verdict.position, detail: verdict.detail };
  const last = opened.at(-1) as Signed<ProofSegment>;
  const chain: VerifiedChain = {
    last,
    segments: opened.length,
    signers: [...new Set(opened.map(({ key }) => key.hex))],
    verdict,
    events: opened.flatMap(({ record }) => record.events),
    spans: opened.flatMap(({ record }) => record.spans),
  };
  if (beacons !== undefined) {
    const said = verifyBeacons(beacons, opened, trust);
    if ("step" in said) return said;
    chain.beacons = said;
  }
  if (decision !== undefined) {
    const { decisionId, node } = last.record;
    const found = trust.openDecision(Buffer.from(decision, "base64"), node);
    if (!found.ok) return { ok: false, step: "decision", detail: found.detail };
    if (found.decision.id !== decisionId) return { ok: false, step: "decision", detail: `decision ${found.decision.id}; the chain names ${decisionId ?? "none"}` };
    chain.decision = found.decision;
  }
  if (root === undefined) return chain;
  const under = verifyRoot(root, opened, trust);
  return typeof under === "string" ? { ok: false, step: "root", detail: under } : { ...chain, root: under };
}

/** Each is the one that the segments name, by its hash, and the node's own word. */
function verifyBeacons(beacons: readonly string[], opened: readonly Signed<ProofSegment>[], trust: Trust): Beacon[] | Broken {
  const named = [...new Map(opened.map(({ record }) => [record.beaconHash, record] as const))];
  const said: Beacon[] = [];
  for (const [i, sealed] of beacons.entries()) {
    const broken = (detail: string): Broken => ({ ok: false, step: "beacon", position: i + 1, detail });
    const one = openStatement(BEACON, Buffer.from(sealed, "base64"), trust.keys);
    if (!one.ok) return broken(`${one.reason}: ${one.detail}`);
    const { record, hash } = one.signed;
    const [expected, segment] = named[i] ?? [];
    if (hash !== expected) return broken(`sha256 ${hash}; the chain names ${expected ?? "no more"}`);
    if (record.node !== segment?.node || record.datacenter !== segment.datacenter) return broken(`a beacon of ${record.datacenter}/${record.node}`);
    const fault = keyFaultOf(one.signed, trust);
    if (fault !== undefined) return broken(fault);
    said.push(record);
  }
  return said.length === named.length ? said : { ok: false, step: "beacon", position: said.length + 1, detail: `the chain names ${String(named.length)} beacons` };
}

/** The root holds one of the segments; it was the newest when the root was signed. */
function verifyRoot(root: RootPlace, opened: readonly Signed<ProofSegment>[], trust: Trust): VerifiedChain["root"] & object | string {
  const one = openStatement(PROOF_AGGREGATE, Buffer.from(root.sealed, "base64"), trust.keys);
  if (!one.ok) return `${one.reason}: ${one.detail}`;
  const { record } = one.signed;
  const speaker = opened[0]?.record;
  if (record.node !== speaker?.node || record.datacenter !== speaker.datacenter) return `a root of ${record.datacenter}/${record.node}`;
  const fault = keyFaultOf(one.signed, trust);
  if (fault !== undefined) return fault;
  const path = root.path.map((hash) => Buffer.from(hash, "hex"));
  const at = opened.findLastIndex(({ hash }) => isIncluded(Buffer.from(hash, "hex"), root.index, record.count, path, Buffer.from(record.root, "hex")));
  return at === -1 ? "it holds none of the chain's segments" : { aggregate: record, position: at + 1 };
}

/** A key speaks in its own epochs only: who holds a key that was given up cannot add to what came after it. */
export function keyFaultOf({ record, key }: Signed<{ node: string; datacenter: string; epoch: number }>, { trusted, rotations }: KeyTrust): string | undefined {
  const own = rotations.filter(({ node, datacenter }) => node === record.node && datacenter === record.datacenter);
  for (const start of trusted) {
    const before = keysBefore(start, own);
    const line = [...before, start, ...chainFrom(start, own, before).steps.map(({ newKey }) => newKey)];
    const at = line.indexOf(key.hex);
    if (at === -1) continue;
    const step = (from: number) => own.find(({ oldKey, newKey }) => oldKey === line[from] && newKey === line[from + 1]);
    const [into, out] = [step(at - 1), step(at)];
    if (into !== undefined && record.epoch < into.epoch) return `key ${key.hex} spoke from epoch ${String(into.epoch)} on; this is ${String(record.epoch)}`;
    if (out !== undefined && record.epoch >= out.epoch) return `key ${key.hex} was given up at epoch ${String(out.epoch)}; this is ${String(record.epoch)}`;
    return undefined;
  }
  return `signed by key ${key.hex}, which is none of the given keys, nor one before or after them`;
}

/** Or what is wrong. */
function parse(text: string): ProofFile | string {
  let file: ProofFile;
  try {
    file = JSON.parse(text) as ProofFile;
    if (!isProofFile(file)) return "is not a proof file";
  } catch {
    return "is not JSON";
  }
  if (file.chains.length === 0) return "holds no chain";
  return proofFileText(file) === text ? file : "is not spelled as it was exported";
}

function isProofFile(file: ProofFile): boolean {
  if (typeof file !== "object" || file === null || Object.keys(file).join() !== "v,chains,rotations" || file.v !== 1) return false;
  const { chains, rotations } = file;
  return Array.isArray(chains) && chains.every(isChain) && Array.isArray(rotations) && rotations.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isBase64));
}

const CHAIN_FIELDS = ["segments", "beacons", "decision", "root"];

function isChain(chain: ProofFile["chains"][number]): boolean {
  if (typeof chain !== "object" || chain === null || Object.keys(chain).join() !== CHAIN_FIELDS.filter((field) => field in chain).join()) return false;
  const { segments, beacons = [], decision = "", root } = chain;
  if (!Array.isArray(segments) || !segments.every(isBase64) || !Array.isArray(beacons) || !beacons.every(isBase64) || !isBase64(decision)) return false;
  if (root === undefined) return true;
  return typeof root === "object" && root !== null && Object.keys(root).join() === "sealed,index,path" && isBase64(root.sealed) && Number.isSafeInteger(root.index) && Array.isArray(root.path) && root.path.every(isHash);
}

/** In its one spelling. */
function isBase64(value: unknown): boolean {
  return typeof value === "string" && Buffer.from(value, "base64").toString("base64") === value;
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
