/**
 * The JSON of `cluster metrics` and `cluster list`: schemas/cluster-metrics.schema.json and
 * schemas/cluster-list.schema.json. Unknown is null, never 0. A field may be added without a new schemaVersion;
 * none changes its meaning or goes.
 */
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import type { LatencySource, PolicyContext } from "../../beacon/record.js";
import type { TrustState } from "../../beacon/registry.js";
import { type Figures, figuresOf } from "./figures.js";

export interface NodeJson {
  node: string;
  nodeId: string;
  datacenter: string;
  address: string;
  beaconId: string | null;
  publicKey: string | null;
  /** By this command: signature, key, place and age of the record it read. */
  verified: boolean;
  trust: TrustState;
  /** Why, where `trust` is not one of the believed states. */
  detail: string | null;
  alive: boolean | null;
  /** The cluster's policy as the node applies it, by its signed state. */
  policy: PolicyContext | null;
}

export interface MetricsNodeJson extends NodeJson {
  ageMs: number | null;
  latency: { ms: number; source: LatencySource } | null;
  jitter: { ms: number } | null;
  loss: { ratio: number } | null;
  queueDepth: number | null;
  pricePerGb: number | null;
  reputation: { score: number; observers: number } | null;
  declaredReputation: number | null;
  capabilities: readonly string[] | null;
  workloads: number | null;
}

export interface WorkloadJson {
  id: string;
  job: string;
  namespace: string;
  taskGroup: string;
  status: string;
  createdAtMs: number;
}

export interface ListNodeJson extends NodeJson {
  workloads: WorkloadJson[] | null;
}

export interface Document<N> {
  schemaVersion: 1;
  nodes: N[];
}
export type MetricsDocument = Document<MetricsNodeJson>;
export type ListDocument = Document<ListNodeJson>;

export function metricsDocument(nodes: readonly NodeView[]): MetricsDocument {
  return { schemaVersion: 1, nodes: nodes.map(metricsNode) };
}

export function listDocument(nodes: readonly NodeView[]): ListDocument {
  return { schemaVersion: 1, nodes: nodes.map(listNode) };
}

function metricsNode(view: NodeView): MetricsNodeJson {
  const figures = figuresOf(view);
  const { latencyMs, latencySource, jitterMs, lossRatio, reputation } = figures;
  return {
    ...node(view, figures),
    ageMs: figures.ageMs ?? null,
    latency: latencyMs === undefined || latencySource === undefined ? null : { ms: latencyMs, source: latencySource },
    jitter: jitterMs === undefined ? null : { ms: jitterMs },
    loss: lossRatio === undefined ? null : { ratio: lossRatio },
    queueDepth: figures.queueDepth ?? null,
    pricePerGb: figures.pricePerGb ?? null,
    reputation: reputation === undefined || view.reputation === undefined ? null : { score: reputation, observers: view.reputation.observers },
    declaredReputation: figures.declaredReputation ?? null,
    capabilities: figures.capabilities ?? null,
    workloads: figures.workloads?.length ?? null,
  };
}

function listNode(view: NodeView): ListNodeJson {
  const figures = figuresOf(view);
  return {
    ...node(view, figures),
    workloads:
      figures.workloads?.map(({ id, job, namespace, taskGroup, status, createdAtMs }) => ({ id, job, namespace, taskGroup, status, createdAtMs })) ?? null,
  };
}

export function node(view: NodeView, figures: Figures = figuresOf(view)): NodeJson {
  return {
    node: view.name,
    nodeId: view.id,
    datacenter: view.datacenter,
    address: view.address,
    beaconId: figures.beaconId ?? null,
    publicKey: figures.publicKey ?? null,
    verified: isBelieved(view.trust) && figures.publicKey !== undefined,
    trust: view.trust,
    detail: view.detail ?? null,
    alive: view.alive ?? null,
    policy: figures.policy ?? null,
  };
}
