/**
 * The capabilities of this node, each one detected, none assumed. Pure: what Nomad's client found and what the host
 * showed come in, names come out. Nomad's drivers count by their own names where they are healthy; an interpreter on
 * PATH is claimed by no one, since without Nomad nothing here would run it. Operators add what cannot be detected.
 */
import { CAPABILITY_NAME_RULE, canonicalCapabilities, isCapabilityName } from "../../beacon/capabilities.js";
import type { NomadNode } from "../nomad-api.js";
import type { HostFindings } from "./host.js";
import type { Reading } from "./reading.js";

const CONTAINER_DRIVERS: ReadonlySet<string> = new Set(["docker", "podman", "containerd-driver"]);
const VM_DRIVERS: ReadonlySet<string> = new Set(["qemu"]);

export interface Detected {
  /** Sorted, each once. */
  names: string[];
  /** Healthy drivers that cannot be named in a beacon, for the caller to log. */
  unnameable: string[];
}

export function capabilitiesOf(
  node: Reading<Pick<NomadNode, "drivers">>,
  host: HostFindings,
  extras: readonly string[],
): Detected {
  const names = new Set(extras);
  const unnameable: string[] = [];
  for (const [driver, { detected, healthy }] of node.value?.drivers ?? []) {
    if (!detected || !healthy) continue;
    if (isCapabilityName(driver)) names.add(driver);
    else unnameable.push(driver);
    if (CONTAINER_DRIVERS.has(driver)) names.add("container");
    if (VM_DRIVERS.has(driver)) names.add("vm");
  }
  if (host.containerEngine) names.add("container");
  if (host.kvm) names.add("kvm").add("vm");
  return { names: canonicalCapabilities(names), unnameable: unnameable.sort() };
}

/** Why an operator's extra capability is refused; undefined where it is fine. */
export function capabilityProblem(name: string): string | undefined {
  if (isCapabilityName(name)) return undefined;
  return `${JSON.stringify(name)} is no capability name: it must match ${String(CAPABILITY_NAME_RULE)}`;
}
