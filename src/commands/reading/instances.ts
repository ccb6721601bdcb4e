/**
 * The live instances of a Consul service, as Consul's DNS has them: those without a critical check, of the node or of the
 * service. Straight from Consul, for a sidecar's word of them would be Consul's too.
 */
import type { ServiceInstance } from "../../sidecar/consul-api.js";
import { connectConsul } from "../../sidecar/consul/connect.js";
import { consulSettingsFrom } from "../../sidecar/consul/settings.js";
import { whole } from "../../sidecar/whole-read.js";
import type { Instance } from "../../policy/route.js";
import { delay } from "./watch.js";

/** Between two reads, however often the service's health changes. */
const MIN_WAIT_MS = 200;

export interface InstanceSource {
  /** Rejects with ConsulError. */
  read(signal: AbortSignal): Promise<Instance[]>;
  /** Resolves when something may have changed since the last read, or after `ms`, or when the signal aborts. */
  changed(ms: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Asks nobody yet. Throws ConsulSettingsError. */
export function openInstances(service: string, env: Readonly<Record<string, string | undefined>>, datacenter: string | undefined): InstanceSource {
  const consul = connectConsul(consulSettingsFrom(env));
  const permission = `service:read on "${service}"`;
  const place = datacenter === undefined ? {} : { datacenter };
  let index: string | undefined;
  return {
    async read(signal) {
      const read = await whole(consul.serviceInstances(service, { ...place, signal }), "health.service", permission);
      index = read.index;
      return read.value.filter(isLive).map(({ node, serviceId, address, nodeAddress, port }) => ({ node, id: serviceId, address: address === "" ? nodeAddress : address, port }));
    },
    async changed(ms, signal) {
      const enough = delay(Math.min(ms, MIN_WAIT_MS), signal);
      const blocked = index === undefined ? undefined : consul.serviceInstances(service, { ...place, index, waitMs: ms, signal }).catch(() => delay(ms, signal));
      await Promise.all([enough, blocked ?? delay(ms, signal)]);
    },
    close: () => consul.close(),
  };
}

function isLive({ checks }: ServiceInstance): boolean {
  return checks.every(({ status }) => status === "passing" || status === "warning");
}
