/**
 * One STAMP session with one peer, seen from the sender: numbers the probes, keeps the few that an
 * answer may still belong to, and turns answers and timeouts into samples. It sends nothing itself.
 * Round trip: (T4 − T1) − (T3 − T2), where T4 − T1 is monotonic and local and T3 − T2 comes from the
 * answer. For T1 the clock is read once more on either side of the send and the middle is taken: the
 * send costs some 0.1 ms, in the midst of which the packet leaves, and the HMAC is no part of the path.
 *
 *   sent ──answer──▶ received ──answer──▶ duplicate …
 *     └──timeout──▶ lost ──answer──▶ late ──answer──▶ duplicate …
 */
import type { ProbeSample } from "../../beacon/link-statistics.js";
import { ExchangeLog } from "../../beacon/link-statistics-exchange.js";
import { errorEstimateOf } from "./error-estimate.js";
import { ntpFromUnixNs, timestampDifferenceNs } from "./ntp-time.js";
import type { ProbeTarget } from "./probe-settings.js";
import {
  decodeReflectorPacket, encodeSenderPacket, type PacketFault, type ReflectorPacket,
} from "./stamp-packet.js";

/** Reading a clock in JavaScript and handing a packet to the kernel. The clock makes no claim on UTC. */
export const CLOCK_ERROR = errorEstimateOf(100e-6, false);

/** How many probes back an answer is still recognised as late or duplicate. */
const REMEMBERED_PROBES = 64;

/** A send that takes longer was interrupted. */
const LONGEST_SEND_NS = 1_000_000n;

interface SentProbe {
  sequence: number;
  timestamp: bigint;
  /** Middle and beginning of the send. */
  sentNs: bigint;
  earliestNs: bigint;
  sentAtMs: number;
  /** The thread was interrupted while it sent, so nobody knows when the packet left. */
  interrupted: boolean;
  state: "in-flight" | "answered" | "lost";
}

/** What an arriving packet was: a sample, or why it is none. */
export type AnswerResult =
  | { ok: true; sample: ProbeSample }
  | { ok: false; reason: PacketFault | "unmatched" | "bad-residence" };

export class PeerSession {
  readonly exchanges: ExchangeLog;
  private readonly probes = new Map<number, SentProbe>();
  private nextSequence = 0;
  private highestAnswered = -1;
  private inFlight: SentProbe | undefined;

  constructor(
    readonly target: ProbeTarget,
    /** The session identifier of RFC 8972, 1..65535. */
    readonly ssid: number,
    private readonly packetBytes: number,
  ) {
    this.exchanges = new ExchangeLog(ssid);
    this.exchanges.startAtZero();
  }

  get sentNs(): bigint | undefined {
    return this.inFlight?.sentNs;
  }

  /** The next packet; to be sent at once and followed by `sent`. None while a probe is in flight. */
  nextPacket(unixNs: bigint): Buffer | undefined {
    if (this.inFlight !== undefined) return undefined;
    const sequence = this.nextSequence;
    const timestamp = ntpFromUnixNs(unixNs);
    this.nextSequence += 1;
    const sentAtMs = Number(unixNs / 1_000_000n);
    this.inFlight = { sequence, timestamp, sentNs: 0n, earliestNs: 0n, sentAtMs, interrupted: false, state: "in-flight" };
    this.probes.set(sequence, this.inFlight);
    this.probes.delete(sequence - REMEMBERED_PROBES);
    const packet = { sequence, timestamp, error: CLOCK_ERROR, ssid: this.ssid };
    return encodeSenderPacket(packet, this.target.key, this.packetBytes);
  }

  /** The packet left between the two monotonic times. */
  sent(earliestNs: bigint, latestNs: bigint): void {
    if (this.inFlight === undefined) return;
    this.inFlight.sentNs = (earliestNs + latestNs) / 2n;
    this.inFlight.earliestNs = earliestNs;
    this.inFlight.interrupted = latestNs - earliestNs > LONGEST_SEND_NS;
  }

  /** The probe in flight was not answered in time, and its socket was read since. */
  timeout(): ProbeSample | undefined {
    const probe = this.inFlight;
    if (probe === undefined) return undefined;
    probe.state = "lost";
    this.settle(probe);
    return { outcome: "lost", sequence: probe.sequence, sentAtMs: probe.sentAtMs };
  }

  /**
   * `stalled`: the packet may have waited for this thread, so that its round trip means nothing. An
   * answer whose reflector claims to have held the probe for longer than it was away is refused.
   */
  answer(bytes: Uint8Array, receivedNs: bigint, stalled: boolean): AnswerResult {
    const decoded = decodeReflectorPacket(bytes, this.target.key);
    if (!decoded.ok) return decoded;
    const { packet } = decoded;
    const probe = this.probes.get(packet.senderSequence);
    // T1 comes back as it was sent, which a blind forger would have to guess.
    if (probe === undefined || probe.timestamp !== packet.senderTimestamp || !this.isOurs(packet)) {
      return { ok: false, reason: "unmatched" };
    }
    const reordered = probe.sequence < this.highestAnswered;
    const head = { sequence: probe.sequence, sentAtMs: probe.sentAtMs, reflectorSequence: packet.sequence, reordered };
    if (probe.state === "answered") return { ok: true, sample: { outcome: "duplicate", ...head } };
    this.highestAnswered = Math.max(this.highestAnswered, probe.sequence);
    if (probe.state === "lost") {
      probe.state = "answered";
      return { ok: true, sample: { outcome: "late", ...head } };
    }
    const residenceNs = timestampDifferenceNs(packet.timestamp, packet.receiveTimestamp, packet.error.format);
    if (residenceNs < 0n || residenceNs > receivedNs - probe.earliestNs) return { ok: false, reason: "bad-residence" };
    const rttNs = receivedNs - probe.sentNs - residenceNs;
    probe.state = "answered";
    this.exchanges.add(probe.sequence, probe.timestamp, packet.timestamp);
    this.settle(probe);
    // Below zero: the send was interrupted, the packet was gone before its middle.
    return stalled || probe.interrupted || rttNs < 0n
      ? { ok: true, sample: { outcome: "discarded", ...head } }
      : { ok: true, sample: { outcome: "received", rttUs: Number(rttNs) / 1000, ...head } };
  }

  /** A reflector older than RFC 8972 returns 0 for the session identifier. */
  private isOurs(packet: ReflectorPacket): boolean {
    return packet.ssid === this.ssid || packet.ssid === 0;
  }

  private settle(probe: SentProbe): void {
    this.inFlight = undefined;
    this.exchanges.closeBelow(probe.sequence + 1);
  }
}
