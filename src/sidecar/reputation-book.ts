/**
 * The reputations as this sidecar computed them last. Computed whenever the cluster is listed, and each heartbeat, so that
 * who asks for a minimum finds a score although nobody looks. The records change seldom: the same ones are not computed again.
 */
import { believedRecords, reputationsFrom, withReputations } from "../beacon/reputation-views.js";
import type { NodeView } from "../beacon/node-view.js";
import { type Reputations, reputationsOf } from "../beacon/reputation.js";
import type { Clock } from "./clock.js";

export class ReputationBook {
  #latest: Reputations = reputationsOf([]);
  #records = "";

  constructor(
    private readonly deps: {
      clock: Clock;
      /** The score of this node changed, or who observes it. */
      onOwn?: (own: NodeView["reputation"]) => void;
      ownKey: () => string;
    },
  ) {}

  /** The views with their scores. */
  score(views: readonly NodeView[]): NodeView[] {
    const believed = believedRecords(views);
    const records = [...believed.states.map(({ hash }) => hash), ...believed.rotations.map(({ oldKey, newKey }) => oldKey + newKey)].sort().join();
    if (records !== this.#records) {
      const { onOwn, ownKey } = this.deps;
      this.#records = records;
      this.#latest = reputationsFrom(believed);
      const scored = withReputations(views, this.#latest);
      onOwn?.(scored.find(({ state }) => state?.key.hex === ownKey())?.reputation);
      return scored;
    }
    return withReputations(views, this.#latest);
  }

  /** 0..1; undefined while unknown. */
  scoreOf(key: string): number | undefined {
    const scorePpm = this.#latest.nodes.find((node) => node.key === key)?.scorePpm;
    return scorePpm === undefined ? undefined : scorePpm / 1_000_000;
  }

  /** Until the signal aborts. `list` scores what it lists. */
  async run(list: () => Promise<unknown>, periodMs: () => number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await list();
      await this.deps.clock.sleep(periodMs(), signal);
    }
  }
}
