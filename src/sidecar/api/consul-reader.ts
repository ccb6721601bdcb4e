/**
 * The CLI's own way to the cluster: straight from Consul, verifying for itself. It has no history, so what it can hold
 * a key against is the pins in KV alone (SECURITY.md says what that is worth), or an operator's list.
 */
import { KeyAdmission } from "../../beacon/keys.js";
import { AllowListBook } from "../../beacon/allow-list.js";
import type { NodeView } from "../../beacon/node-view.js";
import { PinBook } from "../../beacon/pins.js";
import { Registry } from "../../beacon/registry.js";
import { believedRecords, reputationsFrom, withReputations } from "../../beacon/reputation-views.js";
import { type TrustMode, TrustPolicy } from "../../beacon/trust-policy.js";
import { learnPins, livenessOf, readInstances, takeIn } from "../catalog.js";
import { systemClock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import { Intake } from "../intake.js";
import { RotationReader } from "../rotation-reader.js";
import { StateReader } from "../state-reader.js";
import { readAllowListDocument } from "../trust-records.js";
import { viewsOf } from "../views.js";
import { whole } from "../whole-read.js";

/** Whom this reader believes. Without an operator's list the pins in KV are all that it has. */
export interface ReaderTrust {
  mode: TrustMode;
  /** Lower-case hex of whole keys. */
  operators: ReadonlySet<string>;
  /** A signed allow-list at hand: the history that this reader lacks. */
  file?: Uint8Array;
}

/** Rejects with ConsulError. */
export async function readCluster(
  consul: ConsulApi,
  options: { datacenter?: string | undefined; trust?: ReaderTrust; signal?: AbortSignal | undefined; onProgress?: ((step: string) => void) | undefined } = {},
): Promise<NodeView[]> {
  const { datacenter: wanted, trust = { mode: "first-use", operators: new Set() }, signal, onProgress = () => {} } = options;
  const call = { ...(signal === undefined ? {} : { signal }), ...(wanted === undefined ? {} : { datacenter: wanted }) };
  onProgress("asking the Consul agent");
  const datacenter = wanted ?? (await consul.self(call)).datacenter;
  onProgress(`reading ${datacenter}`);
  const keys = new KeyAdmission();
  const pins = new PinBook([]);
  const lists = new AllowListBook(trust.operators, keys);
  const registry = new Registry(new TrustPolicy(trust.mode, pins, lists, () => systemClock.nowMs()));
  const intake = new Intake(registry, keys, systemClock, { accepted: () => {}, rejected: () => {} });
  const [nodes, instances, list, , states] = await Promise.all([
    whole(consul.nodes(call), "catalog.nodes", "node:read"),
    readInstances(consul, call),
    lists.hasOperator ? readAllowListDocument(consul, datacenter, call) : null,
    learnPins(consul, datacenter, { pins, rotations: new RotationReader(keys) }, call),
    new StateReader(consul, keys, systemClock).read(datacenter, call),
  ]);
  for (const document of [trust.file, list?.document]) if (document !== undefined) lists.offer(document, datacenter);
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
