/**
 * The STAMP session-sender: spaces the probes evenly over peers and time, with a little jitter, has
 * at most one probe in flight to a peer, and hands every sample to its owner. Sockets, clock, timers
 * and random numbers are given to it.
 *
 *   interval  |  a    b    c    d  |   a   b     c   d |     slots by peer, moved by up to half of
 *             0                  1 s                         spacingJitter to either side
 */
import type { ProbeSample } from "../../beacon/link-statistics.js";
import { canonicalAddress } from "./ip-address.js";
import { PeerSession, type AnswerResult } from "./peer-session.js";
import type { ProbeClock, ProbeTimers } from "./probe-clock.js";
import type { ProbeEndpoint, ProbeSettings, ProbeTarget } from "./probe-settings.js";
import type { Random } from "./seeded-random.js";
import { StallDetector } from "./stall-detector.js";

type SenderSettings = Pick<ProbeSettings, "intervalMs" | "timeoutMs" | "spacingJitter" | "packetBytes">;

export interface SessionSenderParts {
  clock: ProbeClock;
  timers: ProbeTimers;
  random: Random;
  /** Hands a packet to the kernel at once; false where it could not (counted, the probe is then lost). */
  send(packet: Uint8Array, to: ProbeEndpoint): boolean;
  onSample(target: ProbeTarget, sample: ProbeSample): void;
}

type RefusedAnswer = Extract<AnswerResult, { ok: false }>["reason"] | "unknown-peer";

export interface SenderCounters {
  sent: number;
  sendFailed: number;
  /** Turns that passed while the probe before was still in flight. */
  skipped: number;
  /** Packets that were no answer to any probe, by reason. */
  refused: Record<RefusedAnswer, number>;
}

interface Slot {
  session: PeerSession;
  /** Canonical, for comparing with where an answer came from. */
  address: string;
  /** Even places are slot start + n · interval; the probe goes out at `dueNs` around it. */
  placeNs: bigint;
  dueNs: bigint;
  /** The probe in flight was found to be past its timeout. */
  overdue: boolean;
}

/** A timer that far away lets the loop read its sockets first. */
const REREAD_MS = 1;

export class SessionSender {
  readonly counters: SenderCounters = {
    sent: 0, sendFailed: 0, skipped: 0,
    refused: { short: 0, long: 0, "bad-hmac": 0, malformed: 0, unmatched: 0, "bad-residence": 0, "unknown-peer": 0 },
  };
  private readonly slots = new Map<string, Slot>();
  private readonly stalls: StallDetector;
  private cancelWake: (() => void) | undefined;
  private running = false;

  constructor(
    private settings: SenderSettings,
    private readonly parts: SessionSenderParts,
  ) {
    this.stalls = new StallDetector(parts.clock, parts.timers);
  }

  start(): void {
    this.running = true;
    this.wake();
  }

  stop(): void {
    this.running = false;
    this.cancelWake?.();
    this.cancelWake = undefined;
    this.stalls.unwatch();
  }

  /** New intervals hold from the next probe on; sessions go on. */
  setSettings(settings: SenderSettings): void {
    this.settings = settings;
    if (this.running) this.wake();
  }

  /** Sessions of targets that did not change go on. Targets without a numeric address are left out. */
  setTargets(targets: readonly ProbeTarget[]): void {
    const before = new Map(this.slots);
    this.slots.clear();
    const startNs = this.parts.clock.monotonicNs();
    targets.forEach((target, position) => {
      const address = canonicalAddress(target.address);
      if (address === undefined) return;
      const known = before.get(target.id);
      if (known !== undefined && sameTarget(known.session.target, target)) {
        this.slots.set(target.id, known);
        return;
      }
      const session = new PeerSession(target, this.freshSsid(), this.settings.packetBytes);
      const placeNs = startNs + nsOf((this.settings.intervalMs * position) / targets.length);
      this.slots.set(target.id, { session, address, placeNs, dueNs: this.aroundNs(placeNs), overdue: false });
    });
    if (this.running) this.wake();
  }

  /** The sessions that go on now, in no order. */
  sessions(): PeerSession[] {
    return [...this.slots.values()].map((slot) => slot.session);
  }

  /** A datagram from `from`, read at monotonic `receivedNs`. */
  receive(bytes: Uint8Array, from: ProbeEndpoint, receivedNs: bigint): void {
    let reason: RefusedAnswer = "unknown-peer";
    const stalled = this.stalls.justStalled(receivedNs);
    for (const { session, address } of this.slots.values()) {
      if (address !== from.address || session.target.port !== from.port) continue;
      const result = session.answer(bytes, receivedNs, stalled);
      if (result.ok) {
        this.parts.onSample(session.target, result.sample);
        this.unwatchWhenIdle();
        return;
      }
      reason = result.reason;
    }
    this.counters.refused[reason] += 1;
  }

  private wake(): void {
    this.cancelWake?.();
    const nowNs = this.parts.clock.monotonicNs();
    for (const slot of this.slots.values()) {
      this.expire(slot, nowNs);
      if (slot.dueNs <= nowNs) this.probe(slot, nowNs);
    }
    this.unwatchWhenIdle();
    const delays = [...this.slots.values()].map(({ session, dueNs, overdue }) => {
      if (overdue) return REREAD_MS;
      const { sentNs } = session;
      const expiryNs = sentNs === undefined ? dueNs : sentNs + nsOf(this.settings.timeoutMs);
      const nextNs = expiryNs < dueNs ? expiryNs : dueNs;
      return Number(nextNs - this.parts.clock.monotonicNs()) / 1e6;
    });
    this.cancelWake = undefined;
    // Whoever heard of a sample may have stopped us.
    if (delays.length > 0 && this.running) {
      this.cancelWake = this.parts.timers.after(Math.max(0, Math.min(...delays)), () => this.wake());
    }
  }

  /**
   * A probe is lost when it is found overdue twice with a reading of the sockets in between: after a
   * stall, timers run before the answers that wait in the sockets are seen.
   */
  private expire(slot: Slot, nowNs: bigint): void {
    const { session } = slot;
    const { sentNs } = session;
    const overdue = sentNs !== undefined && nowNs - sentNs >= nsOf(this.settings.timeoutMs);
    const sample = overdue && slot.overdue ? session.timeout() : undefined;
    slot.overdue = overdue && sample === undefined;
    if (sample !== undefined) this.parts.onSample(session.target, sample);
  }

  private probe(slot: Slot, nowNs: bigint): void {
    // After a pause the places that passed are left out, instead of being caught up with in a burst.
    const intervalNs = nsOf(this.settings.intervalMs);
    slot.placeNs += intervalNs;
    if (slot.placeNs < nowNs) slot.placeNs += ((nowNs - slot.placeNs) / intervalNs + 1n) * intervalNs;
    slot.dueNs = this.aroundNs(slot.placeNs);

    const { session } = slot;
    const { clock } = this.parts;
    const packet = session.nextPacket(clock.unixNsAt(clock.monotonicNs()));
    if (packet === undefined) {
      this.counters.skipped += 1;
      return;
    }
    this.stalls.watch();
    const beforeNs = clock.monotonicNs();
    if (this.parts.send(packet, session.target)) this.counters.sent += 1;
    else this.counters.sendFailed += 1;
    session.sent(beforeNs, clock.monotonicNs());
  }

  private unwatchWhenIdle(): void {
    for (const { session } of this.slots.values()) if (session.sentNs !== undefined) return;
    this.stalls.unwatch();
  }

  private aroundNs(placeNs: bigint): bigint {
    const { intervalMs, spacingJitter } = this.settings;
    return placeNs + nsOf(intervalMs * spacingJitter * (this.parts.random() - 0.5));
  }

  private freshSsid(): number {
    const taken = new Set(this.sessions().map((session) => session.ssid));
    let ssid: number;
    do ssid = 1 + Math.floor(this.parts.random() * 65_535);
    while (taken.has(ssid));
    return ssid;
  }
}

function nsOf(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}

function sameTarget(a: ProbeTarget, b: ProbeTarget): boolean {
  const sameKey = a.key === undefined || b.key === undefined ? a.key === b.key : Buffer.compare(a.key, b.key) === 0;
  return sameKey && a.address === b.address && a.port === b.port && a.reflector === b.reflector;
}
