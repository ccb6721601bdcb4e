/**
 * The CLI's own way to the cluster: straight from Consul, verifying for itself. It has no history, so what it can
 * hold a key against is the pins in KV alone (SECURITY.md says what that is worth).
 */
import { KeyAdmission } from "../../beacon/keys.js";
import type { NodeView } from "../../beacon/node-view.js";
import { PinBook } from "../../beacon/pins.js";
import { Registry } from "../../beacon/registry.js";
import { believedRecords, reputationsFrom, withReputations } from "../../beacon/reputation-views.js";
import { learnPins, livenessOf, readInstances, takeIn } from "../catalog.js";
import { systemClock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import { Intake } from "../intake.js";
import { RotationReader } from "../rotation-reader.js";
import { StateReader } from "../state-reader.js";
import { viewsOf } from "../views.js";
import { whole } from "../whole-read.js";

/** Rejects with ConsulError. */
export async function readCluster(
  consul: ConsulApi,
  options: { datacenter?: string | undefined; signal?: AbortSignal | undefined; onProgress?: ((step: string) => void) | undefined } = {},
): Promise<NodeView[]> {
  const { datacenter: wanted, signal, onProgress = () => {} } = options;
  const call = { ...(signal === undefined ? {} : { signal }), ...(wanted === undefined ? {} : { datacenter: wanted }) };
  onProgress("asking the Consul agent");
  const datacenter = wanted ?? (await consul.self(call)).datacenter;
  onProgress(`reading ${datacenter}`);
  const keys = new KeyAdmission();
  const pins = new PinBook([]);
  const registry = new Registry(pins);
  const intake = new Intake(registry, keys, systemClock, { accepted: () => {}, rejected: () => {} });
  const [nodes, instances, , states] = await Promise.all([
    whole(consul.nodes(call), "catalog.nodes", "node:read"),
    readInstances(consul, call),
    learnPins(consul, datacenter, { pins, rotations: new RotationReader(keys) }, call),
    new StateReader(consul, keys, systemClock).read(datacenter, call),
  ]);
  onProgress(`verifying ${String(instances.value.length)} beacons`);
  await takeIn(instances.value, datacenter, registry, intake);
  const views = viewsOf({
    nodes: nodes.value,
    sidecars: livenessOf(instances.value),
    registry,
    pins,
    intake,
    states,
    monoMs: systemClock.monoMs(),
  });
  return withReputations(views, reputationsFrom(believedRecords(views)));
}
