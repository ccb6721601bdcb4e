/**
 * Whether a reading moved enough to be written before the heartbeat. Pure. Numbers have a dead-band, so that noise
 * does not become Raft writes; what is not a number (capabilities, workloads, known or unknown) has none.
 */
import type { Beacon, NodeState } from "../beacon/record.js";

/** A change counts above the larger of the two. */
interface DeadBand {
  absolute: number;
  relative: number;
}

export const LATENCY_BAND: DeadBand = { absolute: 500, relative: 0.2 }; // µs
export const JITTER_BAND: DeadBand = { absolute: 500, relative: 0.5 }; // µs
export const LOSS_BAND: DeadBand = { absolute: 0.005, relative: 0.25 };
export const QUEUE_BAND: DeadBand = { absolute: 4, relative: 0.5 };

export function beaconMoved(before: Beacon, now: Beacon): boolean {
  return (
    moved(before.latency?.us, now.latency?.us, LATENCY_BAND) ||
    before.latency?.source !== now.latency?.source ||
    moved(before.jitterUs, now.jitterUs, JITTER_BAND) ||
    moved(before.lossRatio, now.lossRatio, LOSS_BAND) ||
    moved(before.queueDepth, now.queueDepth, QUEUE_BAND) ||
    before.priceMicroUsdPerGb !== now.priceMicroUsdPerGb ||
    before.declaredReputation !== now.declaredReputation ||
    before.node !== now.node ||
    before.datacenter !== now.datacenter ||
    before.validityMs !== now.validityMs ||
    before.capabilities.join() !== now.capabilities.join()
  );
}

export function stateMoved(before: NodeState, now: NodeState): boolean {
  return (
    before.node !== now.node ||
    before.datacenter !== now.datacenter ||
    before.nodeId !== now.nodeId ||
    before.address !== now.address ||
    before.validityMs !== now.validityMs ||
    JSON.stringify(before.workloads) !== JSON.stringify(now.workloads)
  );
}

function moved(before: number | undefined, now: number | undefined, band: DeadBand): boolean {
  if (before === undefined || now === undefined) return before !== now;
  return Math.abs(now - before) > Math.max(band.absolute, band.relative * Math.abs(before));
}
