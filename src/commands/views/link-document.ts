/** The JSON of `cluster links`: schemas/cluster-links.schema.json. Unknown is null, never 0. As documents.ts. */
import type { DisputeReason, JoinedLoss } from "../../beacon/link-statistics-join.js";
import type { LinkEnd, LinkNode, LinkState, LinkView } from "../../beacon/links.js";
import { linkLatency } from "./link-wording.js";

export interface LinkEndJson {
  startMs: number;
  endMs: number;
  ageMs: number;
  sent: number;
  received: number;
  rtt: { minMs: number; p50Ms: number; p95Ms: number; p99Ms: number } | null;
  jitter: { ms: number } | null;
  pdv: { p95Ms: number; p99Ms: number } | null;
  /** Null for an end that does not probe. */
  loss: { ratio: number; forwardRatio: number | null; backwardRatio: number | null } | null;
  duplicates: number;
  reordered: number;
  longestBurst: number;
  joined: JoinedLoss | null;
}

export interface LinkJson {
  a: { node: string; publicKey: string };
  b: { node: string; publicKey: string };
  state: LinkState;
  reason: DisputeReason | null;
  probedBy: "both" | "a" | "b" | null;
  ageMs: number | null;
  latency: { ms: number; p95Ms: number | null; source: "measured" | "estimated" } | null;
  jitter: { ms: number } | null;
  loss: { ratio: number; aToBRatio: number | null; bToARatio: number | null } | null;
  estimate: { ms: number } | null;
  fromA: LinkEndJson | null;
  fromB: LinkEndJson | null;
}

export interface LinksDocument {
  schemaVersion: 1;
  links: LinkJson[];
}

export function linksDocument(links: readonly LinkView[]): LinksDocument {
  return { schemaVersion: 1, links: links.map(linkJson) };
}

function linkJson(link: LinkView): LinkJson {
  const latency = linkLatency(link);
  return {
    a: nodeJson(link.a),
    b: nodeJson(link.b),
    state: link.state,
    reason: link.reason ?? null,
    probedBy: link.probedBy ?? null,
    ageMs: link.ageMs ?? null,
    latency: latency === undefined ? null : { ms: latency.ms, p95Ms: msOf(link.rtt?.p95Us), source: latency.source },
    jitter: timeJson(link.jitterUs),
    loss: link.lossRatio === undefined ? null : { ratio: ratio(link.lossRatio), aToBRatio: known(link.aToBLossRatio), bToARatio: known(link.bToALossRatio) },
    estimate: timeJson(link.estimateUs),
    fromA: link.fromA === undefined ? null : endJson(link.fromA),
    fromB: link.fromB === undefined ? null : endJson(link.fromB),
  };
}

function nodeJson({ name, publicKey }: LinkNode): LinkJson["a"] {
  return { node: name, publicKey };
}

function endJson({ half, ageMs, loss, joined }: LinkEnd): LinkEndJson {
  const { startMs, endMs, sent, received, rtt, pdv, duplicates, reordered, longestBurst } = half;
  return {
    startMs,
    endMs,
    ageMs,
    sent,
    received,
    rtt: rtt === undefined ? null : { minMs: rtt.minUs / 1_000, p50Ms: rtt.p50Us / 1_000, p95Ms: rtt.p95Us / 1_000, p99Ms: rtt.p99Us / 1_000 },
    jitter: timeJson(half.jitterUs),
    pdv: pdv === undefined ? null : { p95Ms: pdv.p95Us / 1_000, p99Ms: pdv.p99Us / 1_000 },
    loss: loss === undefined ? null : { ratio: ratio(loss.ratio), forwardRatio: known(loss.out), backwardRatio: known(loss.back) },
    duplicates,
    reordered,
    longestBurst,
    joined: joined ?? null,
  };
}

function timeJson(us: number | undefined): { ms: number } | null {
  return us === undefined ? null : { ms: us / 1_000 };
}

function msOf(us: number | undefined): number | null {
  return us === undefined ? null : us / 1_000;
}

function known(value: number | undefined): number | null {
  return value === undefined ? null : ratio(value);
}

/** In steps of a millionth, as ratios are signed. */
function ratio(value: number): number {
  return Math.round(value * 1_000_000) / 1_000_000;
}
