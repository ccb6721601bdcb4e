/**
 * The order of a decision: status, then score, then the policy's preferences, then the whole key, so that it is the same
 * on every machine. The best few are found without sorting the rest.
 */
import type { Candidate } from "./candidate.js";
import type { CandidateTable } from "./candidate-table.js";
import { type Evaluation, STATUS } from "./evaluator.js";

export class Ranking {
  readonly #scores: Float64Array;
  /** What is compared: scores at the decimals that the policy asks for. */
  readonly #compared: Float64Array;

  constructor(
    private readonly table: CandidateTable,
    /** Of all policies together. */
    readonly statuses: Uint8Array,
    private readonly scored: Evaluation,
  ) {
    this.#scores = scored.scoresPpm();
    const step = 10 ** (6 - scored.decimals);
    this.#compared = step === 1 ? this.#scores : this.#scores.map((score) => Math.round(score / step));
  }

  scorePpm(index: number): number {
    return this.#scores[index] ?? 0;
  }

  /** Of the candidates that are not excluded, the first `count`, best first. */
  best(count: number): number[] {
    const held: number[] = [];
    for (let i = 0; i < this.table.size; i++) {
      if (this.statuses[i] === STATUS.excluded) continue;
      const last = held[held.length - 1];
      if (held.length === count && (last === undefined || !this.#mayPass(i, last) || this.#compare(i, last) > 0)) continue;
      if (held.length === count) held.pop();
      let at = held.length;
      while (at > 0 && this.#compare(i, held[at - 1] as number) < 0) at -= 1;
      held.splice(at, 0, i);
    }
    return held;
  }

  /** All candidates: in their order, and the excluded ones after them by key. */
  order(): Uint32Array {
    return Uint32Array.from({ length: this.table.size }, (_, i) => i).sort((a, b) => this.#compare(a, b));
  }

  /** What two numbers say before the whole comparison: most of ten thousand end here. */
  #mayPass(a: number, b: number): boolean {
    const status = (this.statuses[a] as number) - (this.statuses[b] as number);
    return status < 0 || (status === 0 && (this.#compared[a] as number) >= (this.#compared[b] as number));
  }

  #compare(a: number, b: number): number {
    const status = (this.statuses[a] as number) - (this.statuses[b] as number);
    if (status !== 0) return status;
    if (this.statuses[a] !== STATUS.excluded) {
      const score = (this.#compared[b] as number) - (this.#compared[a] as number);
      if (score !== 0) return score;
      for (const { values, sense } of this.scored.tieBreaks) {
        const difference = compareValues(values[a] as number, values[b] as number, sense);
        if (difference !== 0) return difference;
      }
    }
    const [keyA, keyB] = [keyOf(this.table.candidates[a] as Candidate), keyOf(this.table.candidates[b] as Candidate)];
    return keyA < keyB ? -1 : keyA > keyB ? 1 : a - b;
  }
}

function compareValues(a: number, b: number, sense: "min" | "max"): number {
  if (a === b) return 0;
  if (a < 0 || b < 0) return a < 0 ? 1 : -1; // unknown last
  return sense === "min" ? a - b : b - a;
}

/** Nodes without a key come after those with one, by name; one key that speaks for two nodes is told apart by name. */
function keyOf({ publicKey, node }: Candidate): string {
  return `${publicKey ?? "~"} ${node}`;
}
