/** What somebody with an agent's HTTP port, or a token for it, can write: services, KV values and events by hand. */
import type { ConsulAgent } from "../../src/dev/consul-agent.js";
import type { Instance } from "./observe.js";

async function put(consul: ConsulAgent, path: string, body: string | Uint8Array = ""): Promise<void> {
  const response = await consul.request(path, { method: "PUT", body });
  if (!response.ok) throw new Error(`${path}: ${String(response.status)} ${await response.text()}`);
}

/** Registers a service `ibrl-beacon` at the agent, or puts this in the place of the one that is there; its check stays. */
export function registerByHand(consul: ConsulAgent, { Meta, Tags = ["sealed"], Address = "" }: Partial<Instance["Service"]>): Promise<void> {
  return put(consul, "/v1/agent/service/register", JSON.stringify({ ID: "ibrl-beacon", Name: "ibrl-beacon", Meta, Tags, Address }));
}

export function deregisterByHand(consul: ConsulAgent): Promise<void> {
  return put(consul, "/v1/agent/service/deregister/ibrl-beacon");
}

export function fireByHand(consul: ConsulAgent, payload: Uint8Array): Promise<void> {
  return put(consul, "/v1/event/fire/ibrl", Buffer.from(payload));
}

export function putByHand(consul: ConsulAgent, key: string, value: string | Uint8Array): Promise<void> {
  return put(consul, `/v1/kv/${key}`, typeof value === "string" ? value : Buffer.from(value));
}

export async function deleteByHand(consul: ConsulAgent, key: string): Promise<void> {
  const response = await consul.request(`/v1/kv/${key}`, { method: "DELETE" });
  if (!response.ok) throw new Error(`${key}: ${String(response.status)}`);
}

export function kvText(consul: ConsulAgent, key: string): Promise<string> {
  return consul.getText(`/v1/kv/${key}?raw`);
}

/** The payloads of the user events `ibrl` that the agent holds, oldest first. */
export async function eventPayloads(consul: ConsulAgent): Promise<Uint8Array[]> {
  const events = await consul.getJson<{ Payload: string }[]>("/v1/event/list?name=ibrl");
  return events.map(({ Payload }) => Buffer.from(Payload, "base64"));
}

/** A copy with one bit changed; `at` as in Array.prototype.at. */
export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0x01;
  return copy;
}
