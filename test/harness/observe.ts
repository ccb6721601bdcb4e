/** What integration tests see of a running cluster: Consul's word, a sidecar's listing, its metrics. */
import { BEACON, open } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { LocalNode } from "../../src/dev/local-cluster.js";
import type { ConsulAgent } from "../../src/dev/consul-agent.js";
import type { SidecarProcess } from "../../src/dev/sidecar-process.js";

export interface ListedState {
  node: { id: string; ip: string; name: string; datacenter: string };
  trust: string;
  alive?: boolean;
  beacon?: Record<string, unknown>;
  sealed_beacon?: string;
  sealed_state?: string;
}

export async function listed(sidecar: SidecarProcess): Promise<ListedState[]> {
  const { response } = await sidecar.getJson<{ response: { states?: ListedState[] } }>("/list");
  return response.states ?? [];
}

export async function listedNode(sidecar: SidecarProcess, name: string): Promise<ListedState> {
  const state = (await listed(sidecar)).find(({ node }) => node.name === name);
  if (state === undefined) throw new Error(`${name} is not listed`);
  return state;
}

export interface Instance {
  Node: { Node: string; ID: string };
  Service: { ID: string; Meta: Record<string, string>; Tags: string[]; Address: string; Port: number };
  Checks: { CheckID: string; Status: string; Output: string }[];
}

/** The service entries of the sidecars, as the agent answers. */
export function instances(consul: ConsulAgent): Promise<Instance[]> {
  return consul.getJson<Instance[]>("/v1/health/service/ibrl-beacon");
}

/** The beacon of a service entry, verified as of its node in dc1. Throws where it does not open. */
export function beaconIn({ Node, Service }: Instance): { key: string; epoch: number; capabilities: readonly string[] } {
  const opened = open(BEACON, Buffer.from(Service.Meta["ibrl-beacon"] ?? "", "base64"), { node: Node.Node, datacenter: "dc1", nowMs: Date.now(), skewMs: 60_000, keys: new KeyAdmission() });
  if (!opened.ok) throw new Error(`${Node.Node}: ${opened.detail}`);
  const { key, record } = opened.verified;
  return { key: key.hex, epoch: record.epoch, capabilities: record.capabilities };
}

/** The check of the node's sidecar; undefined where the catalog has none. */
export async function sidecarCheck(consul: ConsulAgent, node: string): Promise<string | undefined> {
  const instance = (await instances(consul)).find(({ Node }) => Node.Node === node);
  return instance?.Checks.find(({ CheckID }) => CheckID.includes("ibrl-beacon"))?.Status;
}

/** The sum of a metric's samples whose labels contain all of these; undefined without a sample. */
export async function metric(sidecar: SidecarProcess, name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
  const samples = (await sidecar.getText("/metrics"))
    .split("\n")
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .filter((line) => Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)));
  return samples.length === 0 ? undefined : samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

export function sidecarOf(node: LocalNode | undefined): SidecarProcess {
  if (node?.sidecar == null) throw new Error("the cluster has no such node with a sidecar");
  return node.sidecar;
}
