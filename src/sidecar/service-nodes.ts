/** Where the services run that policies place near: the nodes of their instances that Consul does not call critical. */
import type { ServiceNodes } from "../policy/candidates.js";
import type { Policies } from "../policy/decide.js";
import type { ConsulApi, ReadOptions } from "./consul-api.js";
import { whole } from "./whole-read.js";

/** Names of the services in the policies' link rules, each once. */
export function servicesIn(policies: Policies): string[] {
  const targets = [policies.cluster, policies.spawn].flatMap((evaluator) => evaluator?.policy?.links.map(({ target }) => target) ?? []);
  return [...new Set(targets.flatMap((target) => ("service" in target ? [target.service] : [])))];
}

/** Rejects with ConsulError: a service that may not be read is not one that runs nowhere. */
export async function serviceNodes(consul: Pick<ConsulApi, "serviceInstances">, names: readonly string[], options?: ReadOptions): Promise<ServiceNodes> {
  const places = await Promise.all(names.map(async (name) => {
    const { value } = await whole(consul.serviceInstances(name, options), "health.service", `service:read on "${name}"`);
    const running = value.filter(({ checks }) => !checks.some(({ status }) => status === "critical"));
    return [name, [...new Set(running.map(({ node }) => node))].sort()] as const;
  }));
  return new Map(places);
}
