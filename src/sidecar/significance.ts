/**
 * Whether a record moved enough to be written before its heartbeat. Numbers have a dead-band that they must have left
 * for a while (link-statistics-significance.ts), so that noise and flapping links do not become Raft writes; what is
 * not a number (capabilities, workloads, the probe's address) counts at once.
 */
import { type DeadBand, type Significance, stepSignificance } from "../beacon/link-statistics-significance.js";
import type { Beacon, NodeState } from "../beacon/record.js";

/** Called with what was written last, what is now, and the monotonic time. */
export type Moved<R> = (before: R, now: R, monoMs: number) => boolean;

const HOLD_MS = 10_000;
export const LATENCY_BAND: DeadBand = { absolute: 500, relative: 0.2, holdMs: HOLD_MS }; // µs
export const JITTER_BAND: DeadBand = { absolute: 500, relative: 0.5, holdMs: HOLD_MS }; // µs
export const LOSS_BAND: DeadBand = { absolute: 0.02, relative: 0.25, holdMs: HOLD_MS };
export const QUEUE_BAND: DeadBand = { absolute: 4, relative: 0.5, holdMs: HOLD_MS };

/** Remembers how long each number has been outside its band. */
export function beaconMovement(): Moved<Beacon> {
  const numbers: { band: DeadBand; of: (beacon: Beacon) => number | undefined; outside?: Significance["outside"] }[] = [
    { band: LATENCY_BAND, of: ({ latency }) => latency?.us },
    { band: JITTER_BAND, of: ({ jitterUs }) => jitterUs },
    { band: LOSS_BAND, of: ({ lossRatio }) => lossRatio },
    { band: QUEUE_BAND, of: ({ queueDepth }) => queueDepth },
  ];
  return (before, now, monoMs) => {
    let moved = factsDiffer(before, now);
    for (const number of numbers) {
      const published = number.of(before);
      const state: Significance = {
        ...(published === undefined ? {} : { published }),
        ...(number.outside === undefined ? {} : { outside: number.outside }),
      };
      const step = stepSignificance(state, number.of(now), monoMs, number.band);
      // Once it counts it counts until it is written, also where the write has to wait for its budget.
      if (!step.changed) number.outside = step.state.outside;
      moved ||= step.changed;
    }
    return moved;
  };
}

function factsDiffer(before: Beacon, now: Beacon): boolean {
  return (
    before.priceMicroUsdPerGb !== now.priceMicroUsdPerGb ||
    before.declaredReputation !== now.declaredReputation ||
    before.node !== now.node ||
    before.datacenter !== now.datacenter ||
    before.validityMs !== now.validityMs ||
    before.capabilities.join() !== now.capabilities.join()
  );
}

/**
 * Of links only which there are, and that one began to be measured or to be comparable, so that a new node's links are
 * there within its first minute; their values and the coordinate move all the time and come along with the heartbeat.
 */
export const stateMoved: Moved<NodeState> = (before, now) =>
  linksBegun(before) !== linksBegun(now) ||
  before.node !== now.node ||
  before.datacenter !== now.datacenter ||
  before.nodeId !== now.nodeId ||
  before.address !== now.address ||
  before.validityMs !== now.validityMs ||
  JSON.stringify(before.probe) !== JSON.stringify(now.probe) ||
  workloadsIn(before) !== workloadsIn(now);

/** Proofs grow all the time. */
function workloadsIn({ workloads }: NodeState): string {
  return JSON.stringify(workloads?.map((workload) => ({ ...workload, proof: undefined })));
}

function linksBegun({ links = [] }: NodeState): string {
  return JSON.stringify(links.map(({ peerKey, rtt, outgoing, incoming }) => [peerKey, rtt !== undefined, outgoing !== undefined, incoming !== undefined]));
}
