/**
 * Settings and peers of the prober, as its owner hands them over. All of it can be cloned into a
 * worker. Times are milliseconds, rates per second.
 */
import type { ReflectorMode } from "../../beacon/link-statistics-direction.js";

export interface ProbeEndpoint {
  /** A numeric IPv4 or IPv6 address; names are not resolved here. */
  address: string;
  port: number;
}

/** A peer to probe. A change of anything but `id` starts a new session. */
export interface ProbeTarget extends ProbeEndpoint {
  /** The owner's name for it, unique. */
  id: string;
  /** Authenticated mode with this key; without one unauthenticated. */
  key?: Uint8Array;
  reflector: ReflectorMode;
}

/** A peer whose probes are answered. */
export interface KnownSender {
  id: string;
  address: string;
  /** Only probes from this port, where the peer's source port is known. */
  sourcePort?: number;
  /** Only authenticated probes under this key. */
  key?: Uint8Array;
  /** Stateful: its probes get a sequence of ours, replays are refused, exchanges are recorded. */
  stateful: boolean;
}

export interface ReflectorSettings {
  /** Answers to one peer. */
  answersPerSecond: number;
  burst: number;
  /** Sessions of one stateful peer that are kept; the least recently used goes first. */
  sessionsPerPeer: number;
  /** Stateless, unauthenticated answers to everybody unknown together; 0: known peers only. */
  openAnswersPerSecond: number;
}

export interface ProbeSettings {
  /** Where the reflector listens; empty: no reflector. */
  listen: ProbeEndpoint[];
  /** What the sender binds to, by family; the kernel chooses where absent. */
  source: { ipv4?: string; ipv6?: string };
  /** Between two probes to one peer. */
  intervalMs: number;
  /** After it a probe is lost. A peer gets its next probe when the last one is answered or lost. */
  timeoutMs: number;
  /** Share of the interval, 0..1, by which a probe is moved at random from its even place. */
  spacingJitter: number;
  /** At least the base packet; longer ones are padded with zeros. */
  packetBytes: number;
  /** Length of the sliding window of the headline: short, so that a cut link shows soon. */
  windowMs: number;
  /**
   * Length of the window of the link halves. Two ends write their halves up to a heartbeat apart and are compared
   * where their windows overlap by half, so this is three heartbeats.
   */
  linkWindowMs: number;
  /** Between two reports to the owner. */
  reportMs: number;
  reflector: ReflectorSettings;
  /** Makes the spacing repeatable. */
  seed?: number;
}

/** UDP 862, the port of RFC 8762, needs privilege. */
export const DEFAULT_PROBE_PORT = 8862;

export const DEFAULT_PROBE_SETTINGS: ProbeSettings = {
  listen: [{ address: "127.0.0.1", port: DEFAULT_PROBE_PORT }],
  source: {},
  intervalMs: 1000,
  timeoutMs: 1000,
  spacingJitter: 0.2,
  packetBytes: 0,
  windowMs: 30_000,
  linkWindowMs: 300_000,
  reportMs: 2000,
  reflector: { answersPerSecond: 20, burst: 40, sessionsPerPeer: 4, openAnswersPerSecond: 0 },
};
