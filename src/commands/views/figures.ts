/**
 * The numbers of a node as people see them (ms, dollars, seconds), for views, sorting and filtering alike.
 * Unknown is undefined, never 0. A node that is not believed has none, whatever its view holds; those of open mode are
 * shown, and their `trust` says unverified.
 */
import { isShown, type NodeView } from "../../beacon/node-view.js";
import type { LatencySource, PolicyContext, Workload } from "../../beacon/record.js";

export interface Figures {
  beaconId: string | undefined;
  /** Lower-case hex of the whole key. */
  publicKey: string | undefined;
  latencyMs: number | undefined;
  latencySource: LatencySource | undefined;
  jitterMs: number | undefined;
  /** 0..1. */
  lossRatio: number | undefined;
  queueDepth: number | undefined;
  /** US dollars for 10^9 bytes. */
  pricePerGb: number | undefined;
  /** 0..1, as computed from what others observed. */
  reputation: number | undefined;
  /** 0..1, as the node says of itself. */
  declaredReputation: number | undefined;
  capabilities: readonly string[] | undefined;
  workloads: readonly Workload[] | undefined;
  policy: PolicyContext | undefined;
  /** Of the beacon, by this reader's clock; negative where the node's clock runs ahead within the skew. */
  ageMs: number | undefined;
}

export function figuresOf(view: NodeView): Figures {
  const shown = isShown(view.trust);
  const beacon = shown ? view.beacon : undefined;
  const record = beacon?.record;
  return {
    beaconId: beacon?.beaconId,
    publicKey: beacon?.key.hex,
    latencyMs: scaled(record?.latency?.us, 1_000),
    latencySource: record?.latency?.source,
    jitterMs: scaled(record?.jitterUs, 1_000),
    lossRatio: record?.lossRatio,
    queueDepth: record?.queueDepth,
    pricePerGb: scaled(record?.priceMicroUsdPerGb, 1_000_000),
    reputation: beacon === undefined ? undefined : view.reputation?.score,
    declaredReputation: record?.declaredReputation,
    capabilities: record?.capabilities,
    workloads: shown ? view.state?.record.workloads : undefined,
    policy: shown ? view.state?.record.policy : undefined,
    ageMs: beacon?.ageMs,
  };
}

function scaled(value: number | undefined, divisor: number): number | undefined {
  return value === undefined ? undefined : value / divisor;
}
