/**
 * The live instances of a service in the order of a policy: the nodes that run it are the candidates, and each instance
 * stands where its node does. Instances of one node are in the order of their IDs. Pure.
 */
import { decide, type DecideInput, type Decision } from "./decide.js";
import type { Status } from "./evaluator.js";

export interface Instance {
  /** Consul node name, and the service ID there. */
  node: string;
  id: string;
  /** Where it is reached. */
  address: string;
  port: number;
}

export interface RoutedInstance extends Instance {
  status: Status;
  scorePpm: number;
}

export interface Route {
  /** Best first, violators of a permissive policy last; of the excluded nodes none. */
  instances: RoutedInstance[];
  decision: Decision;
}

/** `nodes` are all of the cluster: link rules may lead to nodes that do not run the service. */
export async function route(instances: readonly Instance[], input: Omit<DecideInput, "among">): Promise<Route> {
  const decision = await decide({ ...input, among: new Set(instances.map(({ node }) => node)) });
  const chosen = decision.all().filter(({ status }) => status !== "excluded").flatMap(({ candidate: { node }, status, scorePpm }) =>
    instances.filter((instance) => instance.node === node).sort((a, b) => (a.id < b.id ? -1 : 1)).map((instance) => ({ ...instance, status, scorePpm })),
  );
  return { instances: chosen, decision };
}
