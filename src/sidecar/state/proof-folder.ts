/**
 * Proof chains on this node's disk: one file for each allocation, and the last root that was published. A file is the old
 * one or the new one, never a mix, so that a chain that was cut off goes on from its last whole segment.
 */
import { createHash } from "node:crypto";
import * as nodeFs from "node:fs";
import { join } from "node:path";
import { makeStateFolder, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

const FOLDER = "proofs";
const ROOT_FILE = "root.json";
const CHAIN_FILE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json$/;

export interface KeptChain {
  /** As they were signed, oldest first. */
  segments: readonly Uint8Array[];
  /** Sealed beacons that they name, in the order of their first naming; none of what an earlier version recorded. */
  beacons: readonly Uint8Array[];
  /** The sealed decision that placed the job. */
  decision?: Uint8Array;
  /** By task: the last event of Nomad's that is in the chain. */
  eventsUntilNs: Readonly<Record<string, number>>;
}

export interface KeptRoot {
  sealed: Uint8Array;
  /** Hex hashes of segments, in their order. */
  leaves: readonly string[];
}

export class ProofFolder {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, FOLDER);
  }

  /** Of allocations with a chain; `changedAtMs` is when the last segment was added. */
  list(): { allocation: string; changedAtMs: number }[] {
    let names: string[];
    try {
      names = nodeFs.readdirSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new StateError("unreadable", this.#path, (error as Error).message, "Give the sidecar's user read access.", { cause: error });
    }
    return names.sort().flatMap((name) => {
      const allocation = CHAIN_FILE.exec(name)?.[1];
      if (allocation === undefined) return [];
      const stat = nodeFs.lstatSync(join(this.#path, name), { throwIfNoEntry: false });
      return stat === undefined ? [] : [{ allocation, changedAtMs: stat.mtimeMs }];
    });
  }

  /** Null where there is none. Not verified. Throws StateError. */
  read(allocation: string): KeptChain | null {
    const path = this.#file(allocation);
    const content = readPrivate(path);
    if (content === null) return null;
    try {
      const { v, segments, beacons = [], decision, eventsUntilNs } = JSON.parse(content) as { v?: unknown; segments?: unknown; beacons?: unknown; decision?: unknown; eventsUntilNs?: unknown };
      if (v === 1 && Array.isArray(segments) && Array.isArray(beacons) && typeof eventsUntilNs === "object" && eventsUntilNs !== null) {
        const bytes = (sealed: string) => Buffer.from(sealed, "base64");
        return { segments: segments.map(bytes), beacons: beacons.map(bytes), ...(typeof decision === "string" ? { decision: bytes(decision) } : {}), eventsUntilNs: eventsUntilNs as Record<string, number> };
      }
    } catch {
      // named below
    }
    throw new StateError("content", path, "is not a chain of proofs", "Move it away: what it proved is then lost, and the allocation gets a chain of another beginning.");
  }

  /** By allocation, the hash of its newest segment. A chain that cannot be read is left out: who goes on with it is told. */
  newest(): [string, string][] {
    return this.list().flatMap(({ allocation }): [string, string][] => {
      try {
        const last = this.read(allocation)?.segments.at(-1);
        return last === undefined ? [] : [[allocation, createHash("sha256").update(last).digest("hex")]];
      } catch {
        return [];
      }
    });
  }

  /** On the disk when it returns. Throws StateError. */
  write(allocation: string, { segments, beacons, decision, eventsUntilNs }: KeptChain): void {
    const path = this.#file(allocation);
    makeStateFolder(this.#path);
    writeAtomically(path, `${JSON.stringify({ v: 1, segments: segments.map(base64), beacons: beacons.map(base64), ...(decision === undefined ? {} : { decision: base64(decision) }), eventsUntilNs })}\n`);
  }

  remove(allocation: string): void {
    nodeFs.rmSync(this.#file(allocation), { force: true });
  }

  /** Null where none was published, or its file is not one. Throws StateError where it cannot be read. */
  readRoot(): KeptRoot | null {
    const content = readPrivate(join(this.#path, ROOT_FILE));
    try {
      const { v, sealed, leaves } = JSON.parse(content ?? "{}") as { v?: unknown; sealed?: unknown; leaves?: unknown };
      return v === 1 && typeof sealed === "string" && Array.isArray(leaves) ? { sealed: Buffer.from(sealed, "base64"), leaves: leaves as string[] } : null;
    } catch {
      return null;
    }
  }

  /** Throws StateError. */
  writeRoot({ sealed, leaves }: KeptRoot): void {
    makeStateFolder(this.#path);
    writeAtomically(join(this.#path, ROOT_FILE), `${JSON.stringify({ v: 1, sealed: base64(sealed), leaves })}\n`);
  }

  #file(allocation: string): string {
    const name = `${allocation}.json`;
    if (!CHAIN_FILE.test(name)) throw new StateError("content", this.#path, `${JSON.stringify(allocation)} is no allocation ID`, "Nomad's are UUIDs.");
    return join(this.#path, name);
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
