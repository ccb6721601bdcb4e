/**
 * What contradicts itself, kept: the first evidence of each kind against each node and key. Nobody can push it out by
 * making more: at the bound the newer is told and not kept, and an operator moves the file away.
 */
import type { Contradiction, ContradictionKind, Evidence } from "../beacon/evidence.js";
import type { Clock } from "./clock.js";

const MAX_KEPT = 256;
/** Of the records; a state may be 320 KiB. */
const MAX_BYTES = 4 * 1024 * 1024;

export interface EvidenceObserver {
  kept(kind: ContradictionKind, node: string): void;
  /** The bound is reached, or the disk does not take it. */
  notKept(kind: ContradictionKind, node: string, reason: string): void;
}

export class EvidenceBook {
  readonly #kept: Evidence[];
  readonly #known: Set<string>;
  #sizeBytes: number;

  constructor(
    private readonly deps: {
      /** What was kept before this start. */
      kept: readonly Evidence[];
      /** Throws where the disk does not take it. */
      write: (all: readonly Evidence[]) => void;
      clock: Pick<Clock, "nowMs">;
      observer: EvidenceObserver;
    },
  ) {
    this.#kept = [...deps.kept];
    this.#known = new Set(this.#kept.map(idOf));
    this.#sizeBytes = this.#kept.reduce((sum, evidence) => sum + sizeOf(evidence), 0);
  }

  keep(found: Contradiction): void {
    const { clock, observer, write } = this.deps;
    const { kind, node } = found;
    const id = idOf(found);
    if (this.#known.has(id)) return;
    this.#known.add(id);
    if (this.#kept.length >= MAX_KEPT || this.#sizeBytes + sizeOf(found) > MAX_BYTES) {
      observer.notKept(kind, node, "as much evidence is kept as may be: move evidence.json away");
      if (this.#known.size > 4 * MAX_KEPT) this.#known.delete(id); // bounded too; said again then
      return;
    }
    this.#kept.push({ ...found, seenAtMs: clock.nowMs() });
    this.#sizeBytes += sizeOf(found);
    try {
      write(this.#kept);
      observer.kept(kind, node);
    } catch (error) {
      observer.notKept(kind, node, error instanceof Error ? error.message : String(error));
    }
  }
}

/** One for each kind, node and key: the bytes differ each time that a liar lies. */
function idOf({ kind, node, records, pinnedKey }: Contradiction): string {
  const last = records.at(-1);
  // The envelope begins with its key: 2 bytes of framing and 32 of key.
  const key = Buffer.from(last?.sealed.subarray(2, 34) ?? []).toString("hex");
  return `${kind} ${node} ${key} ${pinnedKey ?? ""} ${kind === "equivocation" ? (last?.purpose ?? "") : ""}`;
}

function sizeOf({ records }: Contradiction): number {
  return records.reduce((sum, { sealed }) => sum + sealed.length, 0);
}
