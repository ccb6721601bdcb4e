/**
 * The node's place in its own history: the epoch, raised and on the disk before the first record of a start is
 * sealed, and the last sequence of the start before. Readers order records by (epoch, sequence), so an epoch must
 * never come twice, also after a restored backup: `raiseAbove` takes what the cluster remembers of us.
 */
import { join } from "node:path";
import { type FileSystem, readPrivate, writeAtomically } from "./atomic-file.js";
import { StateError } from "./state-error.js";

export const EPOCH_FILE = "epoch.json";

export class EpochCounter {
  #epoch: number;
  #sequence = 0;

  /** Reads, raises and persists. Throws StateError. */
  constructor(
    private readonly stateDir: string,
    private readonly fs?: FileSystem,
  ) {
    this.#epoch = readEpoch(stateDir, fs) + 1;
    this.persist();
  }

  get epoch(): number {
    return this.#epoch;
  }

  get sequence(): number {
    return this.#sequence;
  }

  next(): { epoch: number; sequence: number } {
    this.#sequence += 1;
    return { epoch: this.#epoch, sequence: this.#sequence };
  }

  /** True when the cluster knows a later start of ours than the disk does, and the epoch was raised above it. */
  raiseAbove(epoch: number): boolean {
    if (epoch < this.#epoch) return false;
    this.#epoch = epoch + 1;
    this.#sequence = 0;
    this.persist();
    return true;
  }

  /** Also called after each written plane, so that the file tells what was last published. */
  persist(): void {
    const content = JSON.stringify({ v: 1, epoch: this.#epoch, sequence: this.#sequence });
    writeAtomically(join(this.stateDir, EPOCH_FILE), `${content}\n`, {}, this.fs);
  }
}

/** The epoch on the disk, which the last start spoke in; 0 where there was none. Throws StateError. */
export function readEpoch(stateDir: string, fs?: FileSystem): number {
  const path = join(stateDir, EPOCH_FILE);
  const content = readPrivate(path, fs);
  if (content === null) return 0;
  try {
    const { v, epoch } = JSON.parse(content) as Record<string, unknown>;
    if (v === 1 && Number.isSafeInteger(epoch) && (epoch as number) >= 0) return epoch as number;
  } catch {
    // named below
  }
  throw new StateError(
    "content",
    path,
    "is not an epoch file",
    "Remove it: the epoch is then taken from the node's last record in Consul.",
  );
}
