/**
 * This node's own key in KV: the pin, written once with cas=0 and moved only along the node's own rotations, and those
 * rotations, written before the pin so that whoever sees the new pin can see why. A node whose pin names a key that was
 * never its own is told, and goes on: peers decide.
 */
import { pinKey, rotationKey } from "../beacon/documents.js";
import { formatPin, parsePin, type Pin } from "../beacon/pins.js";
import { type Rotation, rotationDocument } from "../beacon/rotation.js";
import type { ConsulApi } from "./consul-api.js";

export interface Place {
  node: string;
  datacenter: string;
}

export class OwnPin {
  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "kvGet" | "kvPut">;
      publicKey: () => Uint8Array;
      /** The node's own chain, of whatever datacenters it was in. */
      rotations: () => readonly Rotation[];
      onConflict: (key: string, pinned: string) => void;
    },
  ) {}

  /** The pin, where it was written; undefined where it stood there already or is another's. Rejects with ConsulError. */
  async publish({ node, datacenter }: Place, signal: AbortSignal): Promise<Pin | undefined> {
    const { consul, onConflict } = this.deps;
    const own = this.deps.rotations().filter((rotation) => rotation.node === node && rotation.datacenter === datacenter);
    for (const rotation of own) await this.announce(rotation, signal);
    const key = pinKey(datacenter, node);
    const publicKey = Buffer.from(this.deps.publicKey()).toString("hex");
    const pin: Pin = { node, datacenter, publicKey, origin: "cluster" };
    if (await consul.kvPut(key, formatPin(pin), { cas: "0", signal })) return pin;
    const { value } = await consul.kvGet(key, { signal });
    const standing = value === null ? null : parsePin(Buffer.from(value.value).toString("utf8"), { node, datacenter });
    if (standing?.publicKey === publicKey) return undefined;
    if (value !== null && own.some(({ oldKey }) => oldKey === standing?.publicKey)) {
      return (await consul.kvPut(key, formatPin(pin), { cas: value.modifyIndex, signal })) ? pin : undefined;
    }
    onConflict(key, standing?.publicKey ?? "something that is no pin");
    return undefined;
  }

  /** Never over another's: what stands there already is this rotation, or somebody's who may write it anyway. Rejects with ConsulError. */
  async announce(rotation: Rotation, signal: AbortSignal): Promise<void> {
    await this.deps.consul.kvPut(rotationKey(rotation), JSON.stringify(rotationDocument(rotation), null, 1), { cas: "0", signal });
  }
}
