/**
 * The rotations in KV, verified. A document is verified once; what is not a rotation of the node under whose path it
 * stands is passed over, since it moves no pin. A fork is two documents, each well signed, and is told by the pins.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { rotationsPrefix } from "../beacon/documents.js";
import type { KeyAdmission } from "../beacon/keys.js";
import { openRotation, readRotationDocument, type Rotation } from "../beacon/rotation.js";
import type { ConsulApi, ReadOptions } from "./consul-api.js";
import { nodeFolders } from "./node-folders.js";

/** A rotation is some 1,200 bytes; what is larger is not one. */
const MAX_DOCUMENT_BYTES = 4_096;
/** Of one node: a rotation a week for five years. */
const MAX_OF_A_NODE = 256;

export class RotationReader {
  /** By KV key and value; null for what is no rotation. */
  #opened = new Map<string, Rotation | null>();

  constructor(private readonly keys: KeyAdmission) {}

  /** Rejects with ConsulError. */
  async read(consul: Pick<ConsulApi, "kvList" | "kvFolders">, datacenter: string, options: ReadOptions = {}): Promise<Rotation[]> {
    const prefix = rotationsPrefix(datacenter);
    const opened = new Map<string, Rotation | null>();
    const ofNode = new Map<string, number>();
    for await (const { value: entries } of nodeFolders(consul, prefix, { ...options, maxValueBytes: MAX_DOCUMENT_BYTES })) {
      for (const { key, value } of entries) {
        const node = key.slice(prefix.length, key.indexOf("/", prefix.length));
        const count = (ofNode.get(node) ?? 0) + 1;
        ofNode.set(node, count);
        if (count > MAX_OF_A_NODE) continue;
        const id = `${key}\0${Buffer.from(value).toString("latin1")}`;
        const before = this.#opened.get(id);
        if (before === undefined) await nextTurn(); // two keys to judge
        opened.set(id, before === undefined ? this.#open(value, { node, datacenter }) : before);
      }
    }
    this.#opened = opened;
    return [...opened.values()].filter((rotation) => rotation !== null);
  }

  #open(value: Uint8Array, place: { node: string; datacenter: string }): Rotation | null {
    let document: unknown;
    try {
      document = JSON.parse(Buffer.from(value).toString("utf8"));
    } catch {
      return null;
    }
    const sealed = readRotationDocument(document);
    const opened = sealed === null ? null : openRotation(sealed, this.keys, place);
    return opened?.ok === true ? opened.rotation : null;
  }
}
