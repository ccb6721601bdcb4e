/**
 * Queue depth: what waits on this node. The messages in the local agent's three Serf broadcast queues (intents,
 * events, queries) plus, where Nomad is there, the node's waiting work: allocations placed here that have not started,
 * and evaluations that name this node and are blocked (a system job that does not fit here) or pending (work of this
 * node that no scheduler has come to). A blocked evaluation of any other job names no node, waits for the cluster, and
 * is counted nowhere. A count, without unit. Without Consul it is unknown; without Nomad, or where Nomad shows
 * one of the two and not the other, it is the Serf queues alone: `nomadWaiting` tells which.
 */
import type { AgentSelf } from "../consul-api.js";
import type { LocalNomad } from "./local-nomad.js";
import { measured, type Reading } from "./reading.js";
import { isQueued } from "./workloads.js";

export interface QueueDepth {
  total: number;
  serf: number;
  /** Absent where Nomad's part is unknown and so not in the total. */
  nomadWaiting?: number;
}

export function queueDepthOf(
  agent: Reading<Pick<AgentSelf, "serfQueues">>,
  { allocations, evaluations }: Pick<LocalNomad, "allocations" | "evaluations">,
): Reading<QueueDepth> {
  if (agent.value === undefined) return agent;
  const { intent, event, query } = agent.value.serfQueues;
  const serf = intent + event + query;
  if (allocations.value === undefined || evaluations.value === undefined) return measured({ total: serf, serf });
  const nomadWaiting = allocations.value.filter(isQueued).length + evaluations.value.length;
  return measured({ total: serf + nomadWaiting, serf, nomadWaiting });
}
