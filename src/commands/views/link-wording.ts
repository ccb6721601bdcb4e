/** How links are said in words and marks, the same in list and matrix. */
import type { LinkState, LinkView } from "../../beacon/links.js";

/** The one time of a link that people look for: measured, else estimated; undefined where there is neither. */
export function linkLatency(link: LinkView): { ms: number; source: "measured" | "estimated" } | undefined {
  if (link.rtt !== undefined) return { ms: link.rtt.p50Us / 1_000, source: "measured" };
  if (link.state !== "estimated" || link.estimateUs === undefined) return undefined;
  return { ms: link.estimateUs / 1_000, source: "estimated" };
}

/** Somebody probes and nothing comes back. Answers whose times a stalled event loop spoilt are answers. */
export function isUnanswered(link: LinkView): boolean {
  return link.rtt === undefined && link.lossRatio === 1;
}

/** Red: the ends contradict each other. Green: both stand behind it. Yellow: one end's word. */
export const STATE_COLOR: Readonly<Record<LinkState, number | undefined>> = { agreed: 32, disputed: 31, unconfirmed: 33, estimated: undefined, unknown: undefined };

export const NO_LINKS = "no two nodes here are believed: there is no link to show";
