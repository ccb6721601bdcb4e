/**
 * What the node measured, as dynamic metadata of its Nomad client, so that a constraint or an affinity of any Nomad job
 * can ask for it. Unsigned, and unique to a node: without the `unique.` each value would make a computed node class of
 * its own, for which Nomad's schedulers and blocked evaluations keep state. Values as in listings: milliseconds, percent,
 * US dollars for 10^9 bytes; unknown is a key that is not there.
 */
import type { Beacon } from "../beacon/record.js";
import type { Backoff } from "./backoff.js";
import type { Cadence } from "./cadence.js";
import type { Clock } from "./clock.js";
import type { NomadCallOptions } from "./nomad-api.js";
import { beaconMovement } from "./significance.js";
import { TokenBucket } from "./token-bucket.js";
import { WrittenPlane, type WriteOutcome } from "./written-plane.js";

/** Null takes the key away. */
export type NodeMeta = Readonly<Record<string, string | null>>;

/** A write that hangs may not hold up the leaving of the cluster. */
const WRITE_MS = 2_000;

class NoNomadNodeError extends Error {
  override readonly name = "NoNomadNodeError";
  readonly code = "no-nomad-node";
}

export class NodeMetadata {
  readonly #plane: WrittenPlane<Beacon>;
  readonly #budget: TokenBucket;
  /** Where something of ours may stand. */
  #nodeId: string | undefined;

  constructor(
    private readonly deps: {
      /** Rejects with NomadError. */
      set: (nodeId: string, meta: NodeMeta, options: NomadCallOptions) => Promise<void>;
      /** ID of the Nomad client on this Consul node; undefined where none answers. */
      nomadNode: (consulNode: string, signal: AbortSignal) => Promise<string | undefined>;
      /** Undefined while this sidecar does not speak for the node. */
      own: () => Beacon | undefined;
      cadence: () => Pick<Cadence, "heartbeatMs" | "writesPerS" | "writeBurst">;
      clock: Pick<Clock, "monoMs" | "sleep">;
      random: () => number;
      backoff: Backoff;
      observer: (outcome: WriteOutcome | "removed", error?: unknown) => void;
    },
  ) {
    const { writesPerS, writeBurst } = deps.cadence();
    // The planes' rate and a bucket of its own: the Raft log that it spares is of Nomad's servers.
    this.#budget = new TokenBucket(writesPerS, writeBurst);
    this.#plane = new WrittenPlane({ moved: beaconMovement(), budget: this.#budget, backoff: deps.backoff, random: deps.random, monoMs: () => deps.clock.monoMs() });
  }

  /** Until the signal aborts. Never rejects. */
  async run(everyMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const beacon = this.deps.own();
      if (beacon !== undefined) await this.#offer(measuredOnly(beacon), signal);
      await this.deps.clock.sleep(everyMs, signal);
    }
  }

  /** Once `run` has ended. Never rejects. */
  async remove(): Promise<void> {
    if (this.#nodeId === undefined) return;
    const none = Object.fromEntries(Object.keys(metaOf(undefined)).map((key) => [key, null]));
    await this.deps.set(this.#nodeId, none, { timeoutMs: WRITE_MS }).then(() => this.deps.observer("removed"), (error: unknown) => this.deps.observer("failed", error));
  }

  async #offer(beacon: Beacon, signal: AbortSignal): Promise<void> {
    const { set, nomadNode, cadence, observer } = this.deps;
    const { heartbeatMs, writesPerS, writeBurst } = cadence();
    this.#budget.setRate(writesPerS, writeBurst);
    try {
      observer(await this.#plane.offer(beacon, heartbeatMs, async () => {
        const nodeId = await nomadNode(beacon.node, signal);
        if (nodeId === undefined) throw new NoNomadNodeError(`no Nomad client of ${beacon.node} answers`);
        this.#nodeId = nodeId;
        // Not cut off by the signal: a write that arrives after the removal would stay.
        await set(nodeId, metaOf(beacon), { timeoutMs: WRITE_MS });
      }));
    } catch (error) {
      if (!signal.aborted) observer("failed", error);
    }
  }
}

/** An estimate is no ground to place work on. */
function measuredOnly(beacon: Beacon): Beacon {
  if (beacon.latency?.source !== "estimated") return beacon;
  const { latency: _, ...rest } = beacon;
  return rest;
}

/** Every key that there is. */
export function metaOf(beacon: Partial<Beacon> | undefined): NodeMeta {
  const { latency, jitterUs, lossRatio, queueDepth, priceMicroUsdPerGb } = beacon ?? {};
  return {
    "unique.ibrl.latency_ms": decimal(latency?.us, 3),
    "unique.ibrl.jitter_ms": decimal(jitterUs, 3),
    "unique.ibrl.packet_loss": decimal(lossRatio === undefined ? undefined : lossRatio * 1e6, 4),
    "unique.ibrl.queue_depth": decimal(queueDepth, 0),
    "unique.ibrl.price_per_gb": decimal(priceMicroUsdPerGb, 6),
  };
}

/** `value` in units of 10^-digits. */
function decimal(value: number | undefined, digits: number): string | null {
  return value === undefined ? null : String(Number((value / 10 ** digits).toFixed(digits)));
}
