/**
 * Candidates as columns of numbers: rules and terms read one column from end to end, which is what makes ten thousand
 * nodes a matter of microseconds. Unknown is -1 here and only here, since no fact is negative.
 */
import type { Candidate } from "./candidate.js";
import type { Needs } from "./needs.js";

export type Column = Float64Array;
export const UNKNOWN = -1;

export class CandidateTable {
  readonly size: number;
  readonly #columns = new Map<string, Column>();

  constructor(
    readonly candidates: readonly Candidate[],
    readonly needs: Needs = { targets: [], copies: [], disputedLinks: false },
  ) {
    this.size = candidates.length;
  }

  /** Made at its first use and kept: `name` must stand for the same values each time. */
  column(name: string, valueOf: (candidate: Candidate) => number | undefined): Column {
    const held = this.#columns.get(name);
    if (held !== undefined) return held;
    const column = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) column[i] = valueOf(this.candidates[i] as Candidate) ?? UNKNOWN;
    this.#columns.set(name, column);
    return column;
  }
}
