/**
 * Pins and the allow-list in KV as an operator reads and writes them. What a sidecar does with them is watcher.ts,
 * publisher.ts and allow-list-watch.ts.
 */
import { allowListKey, pinKey } from "../beacon/documents.js";
import { formatPin, parsePin, type Pin } from "../beacon/pins.js";
import type { CallOptions, ConsulApi, ReadOptions } from "./consul-api.js";

/** What was asked for cannot be done as it is; the message says what would be. */
export class TrustError extends Error {
  override readonly name = "TrustError";
  constructor(
    readonly code: "pinned-otherwise" | "not-pinned" | "changed-meanwhile" | "wrong-operator" | "unknown-key",
    message: string,
  ) {
    super(message);
  }
}

export interface StoredPin {
  /** Null where the value is no pin. */
  pin: Pin | null;
  modifyIndex: string;
}

type Kv = Pick<ConsulApi, "kvGet" | "kvPut" | "kvDelete">;

/** Null where there is none. Rejects with ConsulError. */
export async function readPin(consul: Kv, datacenter: string, node: string, options: ReadOptions = {}): Promise<StoredPin | null> {
  const { value } = await consul.kvGet(pinKey(datacenter, node), { ...options, datacenter, consistency: "consistent" });
  if (value === null) return null;
  const pin = parsePin(Buffer.from(value.value).toString("utf8"), { node, datacenter });
  return { pin: pin === null ? null : { ...pin, origin: "cluster" }, modifyIndex: value.modifyIndex };
}

export type PinChange = { change: "unchanged" | "added" } | { change: "replaced"; before: string | null };

/** Rejects with ConsulError; with TrustError where another key is pinned and `replace` is not set, or somebody else wrote meanwhile. */
export async function putPin(consul: Kv, pin: Pin, replace: boolean, options: CallOptions = {}): Promise<PinChange> {
  const stored = await readPin(consul, pin.datacenter, pin.node, options);
  if (stored?.pin?.publicKey === pin.publicKey) return { change: "unchanged" };
  if (stored !== null && !replace) {
    throw new TrustError("pinned-otherwise", `${pin.node} is pinned in KV to ${stored.pin?.publicKey ?? "something that is no pin"}: --replace pins the other key`);
  }
  const written = await consul.kvPut(pinKey(pin.datacenter, pin.node), formatPin(pin), { ...options, cas: stored?.modifyIndex ?? "0" });
  if (!written) throw new TrustError("changed-meanwhile", `somebody else has written the pin of ${pin.node}: look at it, and try again`);
  return stored === null ? { change: "added" } : { change: "replaced", before: stored.pin?.publicKey ?? null };
}

/** What was there; null where nothing was. Rejects with ConsulError. */
export async function deletePin(consul: Kv, datacenter: string, node: string, options: CallOptions = {}): Promise<StoredPin | null> {
  const stored = await readPin(consul, datacenter, node, options);
  if (stored !== null) await consul.kvDelete(pinKey(datacenter, node), options);
  return stored;
}

/** The document as it stands, unopened. Rejects with ConsulError. */
export async function readAllowListDocument(consul: Kv, datacenter: string, options: ReadOptions = {}): Promise<{ document: Uint8Array; modifyIndex: string } | null> {
  const { value } = await consul.kvGet(allowListKey(datacenter), { ...options, datacenter });
  return value === null ? null : { document: value.value, modifyIndex: value.modifyIndex };
}

/** `over` is the index of what was read; null: nothing stood there. Rejects with ConsulError or TrustError. */
export async function putAllowListDocument(consul: Kv, datacenter: string, document: string, over: string | null, options: CallOptions = {}): Promise<void> {
  if (await consul.kvPut(allowListKey(datacenter), document, { ...options, cas: over ?? "0" })) return;
  throw new TrustError("changed-meanwhile", "somebody else has written the allow-list meanwhile: nothing was changed; look at it, and try again");
}
