/** `proof list` and `proof verify`: what is proved, in words, and what is not. Unknown is null. */
import type { ProofFileVerdict, VerifiedChain } from "../../beacon/proof-file.js";
import { endOf } from "../../beacon/proof-record.js";
import type { KeptProof } from "../reading/kept-proofs.js";
import { printable } from "./printable.js";
import { bytesText } from "./wording.js";

export interface ProofListDocument {
  schemaVersion: 1;
  proofs: { allocation: string; job: string; node: string; driver: string; segments: number; until: string; ended: string | null; restarts: number }[];
}

export interface VerifiedDocument {
  schemaVersion: 1;
  verified: boolean;
  /** The first thing that is wrong; chain and entry count from 1. */
  broken: { step: string; chain: number | null; entry: number | null; detail: string } | null;
  chains: ReturnType<typeof chainDocument>[];
  notProved: readonly string[];
}

const NOT_PROVED = [
  "that the node told the truth: it proves what the node's key signed, and that nothing was changed since",
  "what the job was, beyond its hash, nor what it did",
  "what happened between two looks: memory and CPU are those at the moment of a look",
  "that others counted the same bytes: `cluster usage` has what peers say",
  "that no newer entries exist, where the allocation had not ended",
];

const UNTOLD = "unknown: Nomad gave no figure";

export function proofListDocument(kept: readonly KeptProof[]): ProofListDocument {
  return {
    schemaVersion: 1,
    proofs: kept.map(({ allocation, segments, newest: { record } }) => ({
      allocation, job: record.job, node: record.node, driver: record.driver,
      segments: segments.length,
      until: iso(endOf(record)),
      ended: record.ended === "" ? null : record.ended,
      restarts: record.totals.restarts,
    })),
  };
}

/** Without the last newline. */
export function proofListText({ proofs }: ProofListDocument): string {
  if (proofs.length === 0) return "No proofs: no Nomad allocation has run on this node since its sidecar keeps them.";
  return proofs
    .map(({ allocation, job, driver, segments, until, ended, restarts }) =>
      `${printable(allocation)}  ${printable(job)}  ${printable(driver)}  ${ended === null ? "not ended" : printable(ended)}  until ${until}  ${counted(segments, "segment")}  ${counted(restarts, "restart")}`)
    .join("\n");
}

/** `trusted`: hex of the keys that were given. */
export function verifiedDocument(verdict: ProofFileVerdict, trusted: ReadonlySet<string>): VerifiedDocument {
  if (verdict.ok) return { schemaVersion: 1, verified: true, broken: null, chains: verdict.chains.map((chain) => chainDocument(chain, trusted)), notProved: NOT_PROVED };
  const { step, chain = null, position = null, detail } = verdict;
  return { schemaVersion: 1, verified: false, broken: { step, chain, entry: position, detail }, chains: [], notProved: NOT_PROVED };
}

function chainDocument({ last: { record }, segments, signers, verdict, root, events, spans, beacons, decision }: VerifiedChain, trusted: ReadonlySet<string>) {
  const latest = beacons?.at(-1);
  const { totals, startedMs, endedMs, prunedSegments, gaps } = verdict;
  return {
    node: record.node, datacenter: record.datacenter,
    allocation: record.allocation, job: record.job, namespace: record.namespace, taskGroup: record.taskGroup,
    jobVersion: record.jobVersion, jobSha256: record.jobHash, driver: record.driver,
    decisionId: record.decisionId ?? null,
    decision: decision === undefined ? null : { ...decision, decidedAt: iso(decision.decidedAtMs), trusted: trusted.has(decision.deciderKey) || signers.includes(decision.deciderKey) },
    beaconSha256: record.beaconHash,
    beacons: beacons === undefined || latest === undefined ? null : { count: beacons.length, latest: { epoch: latest.epoch, sequence: latest.sequence, issuedAt: iso(latest.issuedAtMs), latencyUs: latest.latency?.us ?? null, priceMicroUsdPerGb: latest.priceMicroUsdPerGb ?? null } },
    segments, prunedSegments, signers,
    from: iso(startedMs), until: iso(endedMs),
    ended: record.ended === "" ? null : record.ended,
    watchedMs: totals.watchedMs, gapMs: totals.gapMs, restarts: totals.restarts,
    gaps,
    memory: { samples: known(spans, "memoryBytes").length, maxBytes: largest(known(spans, "memoryBytes")) },
    cpu: { samples: known(spans, "cpuPpm").length, maxPpm: largest(known(spans, "cpuPpm")) },
    traffic: totals.traffic ?? null,
    events: events.map(({ task, type, atMs, exitCode, signal }) => ({ task, type, at: iso(atMs), exitCode: exitCode ?? null, signal: signal ?? null })),
    root: root === undefined ? null : { sha256: root.aggregate.root, chains: root.aggregate.count, issuedAt: iso(root.aggregate.issuedAtMs), entry: root.position },
  };
}

/** Without the last newline. */
export function verifiedText({ broken, chains, notProved }: VerifiedDocument): string {
  if (broken !== null) {
    const place = [broken.chain === null ? [] : [`chain ${String(broken.chain)}`], broken.entry === null ? [] : [`entry ${String(broken.entry)}`]].flat().join(", ");
    return `does not verify: ${broken.step}${place === "" ? "" : ` (${place})`}: ${printable(broken.detail)}`;
  }
  return [...chains.flatMap(chainLines), "Not proved:", ...notProved.map((line) => `  ${line}`)].join("\n");
}

function chainLines(chain: VerifiedDocument["chains"][number]): string[] {
  const { root } = chain;
  return [
    `Allocation ${printable(chain.allocation)} of ${printable(chain.job)}/${printable(chain.taskGroup)}: verified`,
    `  node       ${printable(chain.node)} in ${printable(chain.datacenter)}, by its key ${chain.signers.join(", then ")}`,
    `  job        version ${String(chain.jobVersion)}, sha256 ${chain.jobSha256}, driver ${printable(chain.driver)}`,
    `  beacon     ${beaconLine(chain)}`,
    ...decisionLines(chain),
    `  time       ${chain.from} to ${chain.until}: ${chain.ended === null ? "had not ended" : printable(chain.ended)}, ${counted(chain.restarts, "restart")}`,
    `  watched    ${seconds(chain.watchedMs)} s; not watched ${seconds(chain.gapMs)} s${chain.gaps.map(({ reason, ms }) => `, ${printable(reason)} ${seconds(ms)} s`).join("")}`,
    `  memory     ${chain.memory.maxBytes === null ? UNTOLD : `at most ${String(chain.memory.maxBytes)} bytes in ${counted(chain.memory.samples, "sample")}`}`,
    `  CPU        ${chain.cpu.maxPpm === null ? UNTOLD : `at most ${(chain.cpu.maxPpm / 1e6).toFixed(3)} cores in ${counted(chain.cpu.samples, "sample")}`}`,
    `  traffic    ${trafficText(chain.traffic)}`,
    ...chain.events.map(({ task, type, at, exitCode, signal }) =>
      `  event      ${at}  ${printable(task)}  ${printable(type)}${exitCode === null ? "" : `, exit code ${String(exitCode)}`}${signal === null ? "" : `, signal ${String(signal)}`}`),
    `  entries    ${String(chain.segments)}, unbroken${chain.prunedSegments === 0 ? "" : `; ${String(chain.prunedSegments)} before them were pruned by the node`}`,
    `  root       ${root === null ? "none in the file: the node had published none with this chain" : `${root.sha256} over ${counted(root.chains, "chain")}, ${root.issuedAt}, holds entry ${String(root.entry)}`}`,
  ];
}

function beaconLine({ beacons, beaconSha256 }: VerifiedDocument["chains"][number]): string {
  if (beacons === null) return `sha256 ${beaconSha256}, not in the file`;
  const { sequence, epoch, latencyUs, priceMicroUsdPerGb: price } = beacons.latest;
  return `${counted(beacons.count, "record")} of the node, the last of epoch ${String(epoch)}, sequence ${String(sequence)}: ${latencyUs === null ? "latency unmeasured" : `${(latencyUs / 1_000).toFixed(2)} ms`}, ${price === null ? "price unknown" : `$${(price / 1e6).toFixed(4)}/GB`}`;
}

function decisionLines({ decision, decisionId }: VerifiedDocument["chains"][number]): string[] {
  if (decisionId === null) return ["  decision   none of IBRL's"];
  if (decision === null) return [`  decision   ${printable(decisionId)}, not in the file`];
  const { id, decidedAt, decider, deciderKey, place, candidates, policies, trusted } = decision;
  return [
    `  decision   ${id}, ${decidedAt}: the node was ${String(place)} of ${counted(candidates, "candidate")}`,
    `  decided by ${printable(decider.node)}, key ${deciderKey}${trusted ? "" : ", which is none of the given keys"}`,
    ...policies.map(({ role, name, sha256 }) => `  policy     ${role} ${printable(name)}, sha256 ${sha256}`),
  ];
}

function trafficText(traffic: VerifiedDocument["chains"][number]["traffic"]): string {
  return traffic === null ? "unknown: nothing was counted" : `${bytesText(traffic.bytesIn)} in, ${bytesText(traffic.bytesOut)} out, counted for ${seconds(traffic.meteredMs)} s`;
}

function known(spans: VerifiedChain["spans"], figure: "memoryBytes" | "cpuPpm"): number[] {
  return spans.flatMap((span) => span[figure] ?? []);
}

function largest(figures: readonly number[]): number | null {
  return figures.length === 0 ? null : Math.max(...figures);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function counted(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}
