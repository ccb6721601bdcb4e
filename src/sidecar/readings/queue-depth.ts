/**
 * Queue depth: what waits on this node. The messages in the local agent's three Serf broadcast queues (intents,
 * events, queries) plus, where Nomad is there, the allocations placed here that have not started. A count, without
 * unit. Without Consul it is unknown; without Nomad it is the Serf queues alone, since nothing is queued in a
 * scheduler that does not exist or is not to be seen: `nomadPending` tells which of the two it was.
 */
import type { AgentSelf } from "../consul-api.js";
import type { NomadAllocation } from "../nomad-api.js";
import { measured, type Reading } from "./reading.js";
import { isQueued } from "./workloads.js";

export interface QueueDepth {
  total: number;
  serf: number;
  /** Absent where Nomad's part is unknown and so not in the total. */
  nomadPending?: number;
}

export function queueDepthOf(
  agent: Reading<Pick<AgentSelf, "serfQueues">>,
  allocations: Reading<readonly NomadAllocation[]>,
): Reading<QueueDepth> {
  if (agent.value === undefined) return agent;
  const { intent, event, query } = agent.value.serfQueues;
  const serf = intent + event + query;
  if (allocations.value === undefined) return measured({ total: serf, serf });
  const nomadPending = allocations.value.filter(isQueued).length;
  return measured({ total: serf + nomadPending, serf, nomadPending });
}
