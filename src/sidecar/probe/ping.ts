/**
 * Probes one reflector from this thread until a number of probes is through or the signal aborts: what
 * `hypercore probe` does. Any STAMP reflector will do, with or without a key.
 */
import { summarizeProbes, type LinkSummary, type ProbeSample } from "../../beacon/link-statistics.js";
import { ProbeEngine } from "./probe-engine.js";
import { DEFAULT_PROBE_SETTINGS, type ProbeEndpoint } from "./probe-settings.js";
import type { SenderCounters } from "./session-sender.js";
import { unreachableReason } from "./unreachable.js";

export interface PingOptions extends ProbeEndpoint {
  /** Authenticated mode. */
  key?: Uint8Array;
  /** Probes; absent: until the signal aborts. */
  count?: number;
  intervalMs: number;
  timeoutMs: number;
  /** At least the base packet. */
  packetBytes: number;
}

export interface PingResult {
  summary: LinkSummary;
  /** Absent without a round trip. */
  maxUs?: number;
  /** Samples of the beginning that the summary no longer holds. */
  leftOut: number;
  /** Packets that came and were no answer to any probe. */
  refused: SenderCounters["refused"];
  /** The system's error code (ECONNREFUSED, ENETUNREACH, …), where nothing came back and the system knows why. */
  unreachable?: string;
}

/** More than a day at one probe a second; what is older is dropped, a tenth at a time. */
const MOST_SAMPLES = 100_000;

/** Rejects with the system's error where there is no socket to be had, such as EAFNOSUPPORT without IPv6. */
export async function ping(options: PingOptions, onSample: (sample: ProbeSample) => void, signal: AbortSignal): Promise<PingResult> {
  const startMs = Date.now();
  const samples: ProbeSample[] = [];
  let [leftOut, counted, lookingInto] = [0, 0, Promise.resolve<string | undefined>(undefined)];
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));

  const take = (sample: ProbeSample): void => {
    samples.push(sample);
    if (samples.length > MOST_SAMPLES) leftOut += samples.splice(0, MOST_SAMPLES / 10).length;
    if (sample.outcome !== "late" && sample.outcome !== "duplicate") counted += 1;
    if (counted === 1 && sample.outcome === "lost") lookingInto = unreachableReason(options, options.timeoutMs, signal);
    onSample(sample);
    if (counted >= (options.count ?? Infinity)) finish();
  };

  const { intervalMs, timeoutMs, packetBytes, address, port, key } = options;
  const settings = { ...DEFAULT_PROBE_SETTINGS, listen: [], spacingJitter: 0, intervalMs, timeoutMs, packetBytes };
  const engine = new ProbeEngine(settings, { onSample: ({ sample }) => take(sample), onReport: () => {} });
  signal.addEventListener("abort", finish, { once: true });
  try {
    const target = { id: "", address, port, reflector: "detect" as const, ...(key === undefined ? {} : { key }) };
    await engine.start({ targets: [target], senders: [] });
    if (!signal.aborted) await finished;
  } finally {
    signal.removeEventListener("abort", finish);
    await engine.stop();
  }

  const summary = summarizeProbes(samples, { startMs, endMs: Date.now() });
  const result: PingResult = { summary, leftOut, refused: engine.report().sender.refused };
  const unreachable = await lookingInto;
  if (unreachable !== undefined && summary.received === 0) result.unreachable = unreachable;
  const maxUs = samples.reduce((max, sample) => (sample.outcome === "received" ? Math.max(max, sample.rttUs) : max), -1);
  if (maxUs >= 0) result.maxUs = maxUs;
  return result;
}
