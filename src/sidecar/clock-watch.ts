/**
 * How far the peers' clocks are from this one, from the records that they issue: also from those that are refused for
 * their time alone. A record was issued before it came, so that of a peer's records the freshest tells most; what
 * arrives together after a silence (the ring of events at the start, a stall) is old and tells nothing.
 */
import { type ClockFaults, clockFaults } from "../beacon/clock-faults.js";
import type { Signed } from "../beacon/envelope.js";
import { type Beacon, compareOrder, type RecordHeader } from "../beacon/record.js";
import type { Clock } from "./clock.js";

/** Between two records of one peer that are each on their own. */
const APART_MS = 150;
/** A peer's offset is the highest of this many records. */
const KEPT = 3;
/** A peer that is not heard for as long is not counted. */
const SILENT_MS = 600_000;
/** Bounds what a flood of names can make us remember. */
const MAX_PEERS = 20_000;

interface Heard {
  key: string;
  last: RecordHeader;
  atMs: number;
  /** Issue by the peer's clock less receipt by this node's monotonic one, so that a step of this node's changes none; the newest last. */
  aheadMs: readonly number[];
}

export class ClockWatch {
  readonly #heard = new Map<string, Heard>();
  /** Wall less monotonic clock when most peers agreed with it. */
  #agreedMs: number | undefined;

  constructor(
    private readonly clock: Pick<Clock, "nowMs" | "monoMs">,
    private readonly ownKey: () => string,
  ) {}

  /** A well signed record, whatever its time; `trusted` says whether its key is its node's. */
  hear(told: Signed<Beacon>, isTrusted: boolean): void {
    const { record, key } = told;
    if (!isTrusted || key.hex === this.ownKey()) return;
    const atMs = this.clock.monoMs();
    const before = this.#heard.get(record.node);
    if (before !== undefined && before.key === key.hex && compareOrder(record, before.last) <= 0) return;
    if (before === undefined && this.#heard.size >= MAX_PEERS) return;
    const isAlone = before !== undefined && atMs - before.atMs >= APART_MS;
    const aheadMs = [...(before?.aheadMs ?? []), ...(isAlone ? [record.issuedAtMs - atMs] : [])].slice(-KEPT);
    this.#heard.set(record.node, { key: key.hex, last: record, atMs, aheadMs });
  }

  judge(): ClockFaults {
    const monoMs = this.clock.monoMs();
    const offsets = new Map<string, number>();
    const wallLessMonoMs = this.clock.nowMs() - monoMs;
    for (const [node, { atMs, aheadMs }] of this.#heard) {
      if (monoMs - atMs > SILENT_MS) this.#heard.delete(node);
      else if (aheadMs.length > 0) offsets.set(node, Math.max(...aheadMs) - wallLessMonoMs);
    }
    const faults = clockFaults(offsets, this.#agreedMs === undefined ? undefined : wallLessMonoMs - this.#agreedMs);
    if (faults.medianMs !== undefined && faults.whose === undefined && faults.peers.size * 2 < offsets.size) this.#agreedMs = wallLessMonoMs;
    return faults;
  }
}
