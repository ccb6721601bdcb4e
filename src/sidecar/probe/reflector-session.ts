/**
 * What a stateful reflector remembers of one session: the number of its next answer, which probes of
 * the last 16 were answered (as in the anti-replay window of RFC 4303, 3.4.3), and the exchanges.
 * A few hundred octets and the closed chunks, whatever arrives.
 */
import { ExchangeLog } from "../../beacon/link-statistics-exchange.js";

/** Wider would keep chunks of exchanges open for longer; a sender has one probe in flight. */
const WINDOW = 16;

export interface ReflectorSessionCounters {
  answered: number;
  /** Arrived after a later probe. */
  reordered: number;
}

export class ReflectorSession {
  readonly counters: ReflectorSessionCounters = { answered: 0, reordered: 0 };
  readonly exchanges: ExchangeLog;
  private highest = -1;
  /** Bit i: sequence highest − i was answered. */
  private seen = 0;

  constructor(readonly ssid: number) {
    this.exchanges = new ExchangeLog(ssid);
  }

  /** Answered before, or older than the window. */
  isReplay(sequence: number): boolean {
    const age = this.highest - sequence;
    return age >= WINDOW || (age >= 0 && ((this.seen >>> age) & 1) === 1);
  }

  /** The number of the answer to `sequence`, which is no replay. */
  accept(sequence: number): number {
    const age = this.highest - sequence;
    if (age >= 0) {
      this.seen |= 1 << age;
      this.counters.reordered += 1;
    } else {
      this.seen = -age >= WINDOW ? 1 : (this.seen << -age) | 1;
      this.highest = sequence;
    }
    return this.counters.answered++;
  }

  /** To be called with what was sent as the answer. */
  answered(sequence: number, sentTimestamp: bigint, answeredTimestamp: bigint): void {
    this.exchanges.add(sequence, sentTimestamp, answeredTimestamp);
    this.exchanges.closeBelow(Math.max(0, this.highest - WINDOW + 1));
  }
}
