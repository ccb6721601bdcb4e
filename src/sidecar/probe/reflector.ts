/**
 * The STAMP session-reflector. Answers the peers it knows (and, where it was opened, others without
 * state), each within a rate, never with more octets than came in, and counts by reason everything
 * it drops. A packet from an unknown address costs one map look-up and leaves nothing behind.
 *
 *   known? ─▶ length ─▶ (keyed: work budget ─▶ HMAC) ─▶ fields ─▶ replay? ─▶ rate ─▶ answer
 *
 * The rate comes after the HMAC and the replay check, so that forged and replayed packets do not
 * spend the real peer's budget. The TTL
 * of a received packet cannot be read in Node, so Session-Sender TTL is 0 (RFC 8762 wants a copy).
 */
import type { ExchangeRecord } from "../../beacon/link-statistics-exchange.js";
import { KnownSenders, type SenderEntry } from "./known-senders.js";
import { ntpFromUnixNs } from "./ntp-time.js";
import { CLOCK_ERROR } from "./peer-session.js";
import type { ProbeClock } from "./probe-clock.js";
import type { KnownSender, ProbeEndpoint, ReflectorSettings } from "./probe-settings.js";
import type { ReflectorSessionCounters } from "./reflector-session.js";
import { decodeSenderPacket, encodeReflectorPacket, type HmacKey, type PacketFault, type SenderPacket } from "./stamp-packet.js";
import { TokenBucket } from "../token-bucket.js";

export type DropReason = PacketFault | "unknown-peer" | "replay" | "rate";

export interface ReflectorCounters {
  answered: number;
  dropped: Record<DropReason, number>;
}

export type Reflection = { ok: true; reply: Uint8Array } | { ok: false; reason: DropReason };

/** What the reflector saw of a stateful peer: its half of the links that the peer probes. */
export interface IncomingSession extends ReflectorSessionCounters {
  id: string;
  exchanges?: ExchangeRecord;
}

export class Reflector {
  readonly counters: ReflectorCounters = {
    answered: 0,
    dropped: { short: 0, long: 0, "bad-hmac": 0, malformed: 0, "unknown-peer": 0, replay: 0, rate: 0 },
  };
  private readonly known: KnownSenders;
  private open: TokenBucket | undefined;

  constructor(
    private settings: ReflectorSettings,
    private readonly clock: ProbeClock,
  ) {
    this.known = new KnownSenders(settings);
    this.open = openBucket(settings);
  }

  setSenders(senders: readonly KnownSender[]): void {
    this.known.replace(senders, this.settings);
  }

  /** Other limits start all peers anew, sessions included. */
  setSettings(settings: ReflectorSettings): void {
    const senders = this.known.entries().map((entry) => entry.sender);
    this.settings = settings;
    this.open = openBucket(settings);
    this.known.replace(senders, settings);
  }

  incoming(): IncomingSession[] {
    return this.known.entries().flatMap((entry) => {
      const session = entry.currentSession();
      if (session === undefined) return [];
      const exchanges = session.exchanges.record();
      return [{ id: entry.sender.id, ...session.counters, ...(exchanges === undefined ? {} : { exchanges }) }];
    });
  }

  /** Sessions held in memory now. */
  get sessionCount(): number {
    return this.known.entries().reduce((sum, entry) => sum + entry.sessionCount, 0);
  }

  /** The answer to a datagram that was read at monotonic `receivedNs`, or why there is none. */
  reflect(bytes: Uint8Array, from: ProbeEndpoint, receivedNs: bigint): Reflection {
    const result = this.answer(bytes, from, receivedNs);
    if (result.ok) this.counters.answered += 1;
    else this.counters.dropped[result.reason] += 1;
    return result;
  }

  private answer(bytes: Uint8Array, from: ProbeEndpoint, receivedNs: bigint): Reflection {
    const entries = this.known.at(from.address, from.port);
    if (entries.length === 0) return this.answerUnknown(bytes, receivedNs);
    let reason: DropReason = "unknown-peer";
    for (const entry of entries) {
      const { key } = entry.sender;
      if (key !== undefined && !entry.checks.tryTake(Number(receivedNs) / 1e6)) return { ok: false, reason: "rate" };
      const decoded = decodeSenderPacket(bytes, key);
      if (decoded.ok) return this.answerKnown(entry, decoded.packet, bytes, from, receivedNs);
      reason = decoded.reason;
    }
    return { ok: false, reason };
  }

  private answerKnown(
    entry: SenderEntry, packet: SenderPacket, bytes: Uint8Array, from: ProbeEndpoint, receivedNs: bigint,
  ): Reflection {
    const { key, stateful } = entry.sender;
    const session = stateful ? entry.session(from.port, packet.ssid) : undefined;
    if (session?.isReplay(packet.sequence) === true) return { ok: false, reason: "replay" };
    if (!entry.answers.tryTake(Number(receivedNs) / 1e6)) return { ok: false, reason: "rate" };
    if (session === undefined) {
      return { ok: true, reply: this.encode(packet, packet.sequence, bytes, receivedNs, key).reply };
    }
    const sequence = session.accept(packet.sequence);
    const { reply, timestamp } = this.encode(packet, sequence, bytes, receivedNs, key);
    session.answered(packet.sequence, packet.timestamp, timestamp);
    return { ok: true, reply };
  }

  private answerUnknown(bytes: Uint8Array, receivedNs: bigint): Reflection {
    if (this.open === undefined) return { ok: false, reason: "unknown-peer" };
    const decoded = decodeSenderPacket(bytes);
    if (!decoded.ok) return decoded;
    if (!this.open.tryTake(Number(receivedNs) / 1e6)) return { ok: false, reason: "rate" };
    return { ok: true, reply: this.encode(decoded.packet, decoded.packet.sequence, bytes, receivedNs).reply };
  }

  private encode(
    packet: SenderPacket, sequence: number, received: Uint8Array, receivedNs: bigint, key?: HmacKey,
  ): { reply: Uint8Array; timestamp: bigint } {
    const receiveTimestamp = ntpFromUnixNs(this.clock.unixNsAt(receivedNs));
    const timestamp = ntpFromUnixNs(this.clock.unixNsAt(this.clock.monotonicNs()));
    const reply = encodeReflectorPacket(
      {
        sequence, timestamp, receiveTimestamp, error: CLOCK_ERROR, ssid: packet.ssid,
        senderSequence: packet.sequence, senderTimestamp: packet.timestamp, senderError: packet.error, senderTtl: 0,
      },
      received,
      key,
    );
    return { reply, timestamp };
  }
}

function openBucket(settings: ReflectorSettings): TokenBucket | undefined {
  const rate = settings.openAnswersPerSecond;
  return rate > 0 ? new TokenBucket(rate, rate) : undefined;
}
