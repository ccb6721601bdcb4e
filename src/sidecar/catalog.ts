/**
 * What Consul's catalog says of the sidecars, and how it is taken in: liveness for all, the sealed beacon in each
 * one's meta through the intake. Used by the sidecar's watch loop and by the CLI that reads Consul itself.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { META_SEALED, pinsPrefix, SERVICE_NAME } from "../beacon/documents.js";
import { type Followed, parsePin, type Pin, type PinBook } from "../beacon/pins.js";
import type { Registry } from "../beacon/registry.js";
import type { BlockingOptions, ConsulApi, Read, ReadOptions, ServiceInstance } from "./consul-api.js";
import type { Intake } from "./intake.js";
import type { RotationReader } from "./rotation-reader.js";
import { whole } from "./whole-read.js";

/** A pin is some 200 bytes; what is larger is not one. */
const MAX_PIN_BYTES = 4_096;

/** All of them. Rejects with ConsulError. */
export function readInstances(consul: Pick<ConsulApi, "serviceInstances">, options: BlockingOptions): Promise<Read<ServiceInstance[]>> {
  return whole(consul.serviceInstances(SERVICE_NAME, options), "health.service", `node:read, or service:read on "${SERVICE_NAME}"`);
}

/** Node name to whether its serf health and its sidecar's check pass. */
export function livenessOf(instances: readonly ServiceInstance[]): Map<string, boolean> {
  const alive = new Map<string, boolean>();
  for (const { node, checks } of instances) {
    const passes = checks.length > 0 && checks.every((check) => check.status === "passing" || check.status === "warning");
    alive.set(node, passes || (alive.get(node) ?? false));
  }
  return alive;
}

/** Taken in between two turns of the event loop: each may cost a verification. */
const BATCH = 32;

/** Liveness and records of all instances. A foreign or broken meta is a rejection of that node, nothing more. */
export async function takeIn(instances: readonly ServiceInstance[], datacenter: string, registry: Registry, intake: Intake): Promise<void> {
  registry.setLiveness(livenessOf(instances));
  for (const [index, { node, meta }] of instances.entries()) {
    if (index % BATCH === BATCH - 1) await nextTurn();
    const sealed = Buffer.from(meta[META_SEALED] ?? "", "base64");
    intake.accept(sealed, { carrier: "meta", datacenter, node, meta });
  }
}

/** The pins in KV against the book, and the book along the rotations. Rejects with ConsulError. */
export async function learnPins(
  consul: Pick<ConsulApi, "kvList" | "kvFolders">,
  datacenter: string,
  { pins, rotations }: { pins: PinBook; rotations: RotationReader },
  options: ReadOptions = {},
): Promise<Followed> {
  let read = await readPins(consul, datacenter, options);
  if (pins.gone(datacenter, read.pins).length > 0) {
    // A server behind the others has not heard of a young pin: what is gone is gone where the leader says so.
    read = await readPins(consul, datacenter, { ...options, consistency: "consistent" });
  }
  // After the pins: a node writes its rotation before its new pin.
  const steps = await rotations.read(consul, datacenter, options);
  // What the token may not read is not gone.
  if (read.isWhole) pins.compare(datacenter, read.pins);
  else pins.learn(read.pins);
  return pins.follow(steps);
}

/** `isWhole` is false where the token may not read all of them. Rejects with ConsulError. */
export async function readPins(
  consul: Pick<ConsulApi, "kvList">,
  datacenter: string,
  options: ReadOptions = {},
): Promise<{ pins: Pin[]; isWhole: boolean }> {
  const prefix = pinsPrefix(datacenter);
  const { value: entries, filteredByAcl } = await consul.kvList(prefix, { ...options, maxValueBytes: MAX_PIN_BYTES });
  const pins: Pin[] = [];
  for (const { key, value } of entries) {
    const pin = parsePin(Buffer.from(value).toString("utf8"), { node: key.slice(prefix.length), datacenter });
    if (pin !== null) pins.push({ ...pin, origin: "cluster" });
  }
  return { pins, isWhole: filteredByAcl !== true };
}
