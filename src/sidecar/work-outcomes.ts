/**
 * What became of work that this node placed, for its signed state: half of its vote on the nodes that were to run it
 * (docs/reputation.md). In memory: a sidecar that starts again has seen nothing yet.
 */
import { MAX_WORK_OUTCOMES, type WorkOutcome } from "../beacon/record.js";
import type { Clock } from "./clock.js";

export interface WorkWitness {
  /** Work runs on `node`, after it failed on others; by Consul node name. What runs nowhere is told nobody. */
  ran(node: string, insteadOf: readonly string[]): void;
}

/** The newest of each node, so that a node that was mended is soon as good as new. */
const KEPT_OF_A_NODE = 64;
const KEPT_FOR_MS = 86_400_000;

interface Seen {
  monoMs: number;
  ran: boolean;
}

export class WorkOutcomes implements WorkWitness {
  /** By key in hex; the one that was added to last is the last. */
  readonly #seen = new Map<string, readonly Seen[]>();

  /** `keyOf`: of the node as it is believed now; undefined where it is not. */
  constructor(
    private readonly keyOf: (node: string) => string | undefined,
    private readonly ownKey: () => string,
    private readonly clock: Pick<Clock, "monoMs">,
  ) {}

  ran(node: string, insteadOf: readonly string[]): void {
    this.#add(node, true);
    for (const failed of new Set(insteadOf)) this.#add(failed, false);
  }

  list(): WorkOutcome[] {
    const sinceMs = this.clock.monoMs() - KEPT_FOR_MS;
    return [...this.#seen].flatMap(([peerKey, all]) => {
      const recent = all.filter(({ monoMs }) => monoMs >= sinceMs);
      const ran = recent.filter((seen) => seen.ran).length;
      return recent.length === 0 || peerKey === this.ownKey() ? [] : [{ peerKey, ran, failed: recent.length - ran }];
    }).sort((a, b) => (a.peerKey < b.peerKey ? -1 : 1));
  }

  #add(node: string, ran: boolean): void {
    const key = this.keyOf(node);
    if (key === undefined) return;
    const before = this.#seen.get(key) ?? [];
    this.#seen.delete(key);
    this.#seen.set(key, [...before, { monoMs: this.clock.monoMs(), ran }].slice(-KEPT_OF_A_NODE));
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_WORK_OUTCOMES && oldest !== undefined) this.#seen.delete(oldest);
  }
}
