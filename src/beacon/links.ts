/**
 * The links of a cluster as a reader may believe them: for each pair of believed nodes the two signed halves, joined.
 * Pure. Not who is believed (registry.ts), and not how halves are compared (link-statistics-join.ts).
 *
 *   halves that count?  none probes ──▶ both coordinates? ──▶ estimated │ unknown
 *                       one half    ──▶ unconfirmed
 *                       two halves  ──▶ joinHalves: agreed │ disputed (reason) │ unconfirmed
 *
 * A half counts where the state that carries it is verified, believed and within its validity, where it names the whole
 * key of the peer's own verified record, and where its window ended within that validity, so that no end goes on
 * showing a good hour of long ago. Values of a link are the worse of the two ends' words: no end makes a link look
 * better than the other one says. docs/links.md says what none of this can find out.
 */
import { signedDistanceUs } from "./coordinate.js";
import { DEFAULT_SKEW_MS } from "./envelope.js";
import { probeLoss, type ProbeLoss } from "./link-loss.js";
import { type DisputeReason, joinHalves, type JoinedLink, type JoinedLoss, type LinkHalf } from "./link-statistics-join.js";
import { isBelieved, type NodeView } from "./node-view.js";
import type { Coordinate, SignedLinkHalf } from "./record.js";

export const LINK_STATES = ["agreed", "disputed", "unconfirmed", "estimated", "unknown"] as const;
export type LinkState = (typeof LINK_STATES)[number];

export interface LinkNode {
  name: string;
  /** Lower-case hex of the whole key. */
  publicKey: string;
}

/** What one end signed. An end that only reflects has `sent` 0, no `loss`, and stands here for its exchanges. */
export interface LinkEnd {
  half: SignedLinkHalf;
  /** Since the end of its window, by the reader's clock; negative where the node's clock runs ahead. */
  ageMs: number;
  loss?: ProbeLoss;
  /** Of this end's probes, what the exchanges of both ends show. */
  joined?: JoinedLoss;
}

export interface LinkView {
  a: LinkNode;
  b: LinkNode;
  state: LinkState;
  /** Only of a disputed link. */
  reason?: DisputeReason;
  /** Whose probes are behind it; absent where nobody probes. */
  probedBy?: "both" | "a" | "b";
  fromA?: LinkEnd;
  fromB?: LinkEnd;
  /** Absent while no probe is answered in time to be read, and where nobody probes. */
  rtt?: { p50Us: number; p95Us: number };
  jitterUs?: number;
  /** Of round trips. 1 when nothing came back. */
  lossRatio?: number;
  /** Of packets from a to b and from b to a; probes and answers of both ends speak for it. */
  aToBLossRatio?: number;
  bToALossRatio?: number;
  /** From the two signed coordinates, also beside a measurement. It never stands in for one that got no answer. */
  estimateUs?: number;
  /** Of the older half that counts; of the older state for an estimate. */
  ageMs?: number;
}

/** Every pair once, `a` the earlier in `views`: N believed nodes have N(N-1)/2. `nowMs` is Unix time. */
export function linksOf(views: readonly NodeView[], nowMs: number): LinkView[] {
  const speakers = speakersOf(views, nowMs);
  return speakers.flatMap((a, i) => speakers.slice(i + 1).map((b) => linkOf(a, b)));
}

/** The links of one node to all others, it being `a`. None where it is not believed. */
export function linksOfNode(node: NodeView, views: readonly NodeView[], nowMs: number): LinkView[] {
  const speakers = speakersOf(views, nowMs);
  const a = speakers.find((speaker) => speaker.view === node);
  return a === undefined ? [] : speakers.filter((speaker) => speaker !== a).map((b) => linkOf(a, b));
}

/** By node name: how many of the node's links are disputed. Only believed nodes stand in it; costs what is probed. */
export function disputedLinks(views: readonly NodeView[], nowMs: number): Map<string, number> {
  const speakers = speakersOf(views, nowMs);
  const byKey = new Map(speakers.map((speaker) => [speaker.node.publicKey, speaker]));
  const counts = new Map(speakers.map(({ node }) => [node.name, 0]));
  for (const a of speakers) {
    for (const peer of a.halves.keys()) {
      const b = byKey.get(peer);
      // Both ends must have spoken for a dispute, so each pair is met from both sides, and counted from each for itself.
      if (b !== undefined && linkOf(a, b).state === "disputed") counts.set(a.node.name, (counts.get(a.node.name) ?? 0) + 1);
    }
  }
  return counts;
}

interface Speaker {
  view: NodeView;
  node: LinkNode;
  /** By the peer's key. */
  halves: ReadonlyMap<string, LinkEnd>;
  coordinate?: Coordinate;
  stateAgeMs: number;
}

function speakersOf(views: readonly NodeView[], nowMs: number): Speaker[] {
  const speakers = views.flatMap((view) => speakerOf(view, nowMs) ?? []);
  const holders = new Map<string, number>();
  for (const { node } of speakers) holders.set(node.publicKey, (holders.get(node.publicKey) ?? 0) + 1);
  // A key that speaks for two nodes identifies neither end: a link to "it" could be to either.
  return speakers.map((speaker) => ({
    ...speaker,
    halves: holders.get(speaker.node.publicKey) === 1 ? new Map([...speaker.halves].filter(([peer]) => holders.get(peer) === 1)) : new Map<string, LinkEnd>(),
  }));
}

function speakerOf(view: NodeView, nowMs: number): Speaker | undefined {
  const publicKey = view.beacon?.key.hex ?? view.state?.key.hex;
  if (!isBelieved(view.trust) || publicKey === undefined) return undefined;
  const speaker: Speaker = { view, node: { name: view.name, publicKey }, halves: new Map(), stateAgeMs: 0 };
  const state = view.state?.key.hex === publicKey ? view.state.record : undefined;
  if (state === undefined || nowMs - state.issuedAtMs > state.validityMs) return speaker;
  const halves = new Map<string, LinkEnd>();
  for (const half of state.links ?? []) {
    const ageMs = nowMs - half.endMs;
    if (ageMs > state.validityMs || ageMs < -DEFAULT_SKEW_MS) continue;
    const other = halves.get(half.peerKey);
    if (other === undefined || half.endMs > other.half.endMs) halves.set(half.peerKey, { half, ageMs });
  }
  return { ...speaker, halves, stateAgeMs: nowMs - state.issuedAtMs, ...(state.coordinate === undefined ? {} : { coordinate: state.coordinate }) };
}

function linkOf(a: Speaker, b: Speaker): LinkView {
  const link: LinkView = { a: a.node, b: b.node, state: "unknown" };
  const [ofA, ofB] = [a.halves.get(b.node.publicKey), b.halves.get(a.node.publicKey)];
  const joined: JoinedLink = ofA === undefined || ofB === undefined ? { state: "unconfirmed" } : joinSigned(ofA.half, ofB.half);
  if (ofA !== undefined) link.fromA = withLoss(ofA, joined.fromA);
  if (ofB !== undefined) link.fromB = withLoss(ofB, joined.fromB);
  const estimateUs = a.coordinate === undefined || b.coordinate === undefined ? undefined : signedDistanceUs(a.coordinate, b.coordinate);
  if (estimateUs !== undefined) link.estimateUs = estimateUs;

  const [aProbes, bProbes] = [link.fromA?.loss !== undefined, link.fromB?.loss !== undefined];
  if (!aProbes && !bProbes) {
    return estimateUs === undefined ? link : { ...link, state: "estimated", ageMs: Math.max(a.stateAgeMs, b.stateAgeMs) };
  }
  link.probedBy = aProbes && bProbes ? "both" : aProbes ? "a" : "b";
  link.state = joined.state;
  if (joined.reason !== undefined) link.reason = joined.reason;
  return { ...link, ...worseOf(link.fromA, link.fromB) };
}

/** The two ends' signed words on one link, compared. */
export function joinSigned(a: SignedLinkHalf, b: SignedLinkHalf): JoinedLink {
  return joinHalves(comparable(a), comparable(b));
}

function comparable({ startMs, endMs, rtt, outgoing, incoming }: SignedLinkHalf): LinkHalf {
  return {
    startMs,
    endMs,
    ...(rtt === undefined ? {} : { rttP50Us: rtt.p50Us }),
    ...(outgoing === undefined ? {} : { outgoing }),
    ...(incoming === undefined ? {} : { incoming }),
  };
}

function withLoss(end: LinkEnd, joined: JoinedLoss | undefined): LinkEnd {
  const loss = probeLoss(end.half, joined);
  return { ...end, ...(loss === undefined ? {} : { loss }), ...(joined === undefined ? {} : { joined }) };
}

function worseOf(fromA?: LinkEnd, fromB?: LinkEnd): Partial<LinkView> {
  const [a, b] = [fromA?.half, fromB?.half];
  const worse: Partial<LinkView> = {};
  const p50Us = larger(a?.rtt?.p50Us, b?.rtt?.p50Us);
  const p95Us = larger(a?.rtt?.p95Us, b?.rtt?.p95Us);
  if (p50Us !== undefined && p95Us !== undefined) worse.rtt = { p50Us, p95Us };
  const rest = {
    jitterUs: larger(a?.jitterUs, b?.jitterUs),
    lossRatio: larger(fromA?.loss?.ratio, fromB?.loss?.ratio),
    aToBLossRatio: larger(fromA?.loss?.out, fromB?.loss?.back),
    bToALossRatio: larger(fromA?.loss?.back, fromB?.loss?.out),
    ageMs: larger(fromA?.ageMs, fromB?.ageMs),
  };
  for (const key of Object.keys(rest) as (keyof typeof rest)[]) if (rest[key] !== undefined) worse[key] = rest[key];
  return worse;
}

function larger(x: number | undefined, y: number | undefined): number | undefined {
  return x === undefined || y === undefined ? (x ?? y) : Math.max(x, y);
}
