/**
 * A node's headline numbers from its links. Pure. Latency and jitter are the median over the probed
 * peers of their values, loss is that of all probes together; with fewer than half of the probed
 * peers answering, latency and jitter are unmeasured, so that a node which is cut off never looks
 * good by the one peer it still reaches.
 */
import { percentile, type LinkSummary } from "./link-statistics.js";

export interface Headline {
  peersProbed: number;
  peersAnswering: number;
  /** Median of the peers' p50. */
  latencyUs?: number;
  /** Median of the peers' RFC 3550 jitter. */
  jitterUs?: number;
  /** Lost over sent, all peers together; absent when nothing was sent. */
  lossRatio?: number;
}

/** `links`: one summary for each peer to whom probes were due, whether or not any came back. */
export function headlineOf(links: readonly LinkSummary[]): Headline {
  const probed = links.filter((link) => link.sent > 0);
  const answering = probed.filter((link) => link.received > 0);
  const headline: Headline = { peersProbed: probed.length, peersAnswering: answering.length };
  const sent = probed.reduce((sum, link) => sum + link.sent, 0);
  if (sent > 0) headline.lossRatio = probed.reduce((sum, link) => sum + link.lost, 0) / sent;
  if (answering.length === 0 || answering.length * 2 < probed.length) return headline;
  const latencyUs = median(answering.map((link) => link.rtt?.p50Us));
  const jitterUs = median(answering.map((link) => link.jitterUs));
  if (latencyUs !== undefined) headline.latencyUs = latencyUs;
  if (jitterUs !== undefined) headline.jitterUs = jitterUs;
  return headline;
}

/** The lower median of what is known; absent when nothing is. */
function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value): value is number => value !== undefined).sort((a, b) => a - b);
  return known.length === 0 ? undefined : percentile(known, 0.5);
}
