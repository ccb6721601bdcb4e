/**
 * Candidates as columns of numbers: rules and terms read one column from end to end, which is what makes ten thousand
 * nodes a matter of microseconds. Unknown is -1 here and only here, since no fact is negative.
 */
import { isBelieved, isRejected } from "../beacon/node-view.js";
import type { Candidate } from "./candidate.js";
import type { Needs } from "./needs.js";

export type Column = Float64Array;
export const UNKNOWN = -1;

/** What each node's own records say; `alive`, `verified` and `notRejected` are 1 or 0. */
export const FACT_NAMES = ["alive", "verified", "notRejected", "latency", "jitter", "loss", "queue", "price", "reputation", "declaredReputation"] as const;
export type Facts = Readonly<Record<(typeof FACT_NAMES)[number], Column>>;

export class CandidateTable {
  readonly size: number;
  readonly #columns = new Map<string, Column>();
  #facts: Facts | undefined;

  constructor(
    readonly candidates: readonly Candidate[],
    readonly needs: Needs = { targets: [], copies: [], disputedLinks: false },
  ) {
    this.size = candidates.length;
  }

  /** Made at their first use, all at once: reading a candidate for the first time is what takes time. */
  get facts(): Facts {
    return (this.#facts ??= factsOf(this.candidates));
  }

  /** Anything else of a candidate. Made at its first use and kept: `name` must stand for the same values each time. */
  column(name: string, valueOf: (candidate: Candidate) => number | undefined): Column {
    const held = this.#columns.get(name);
    if (held !== undefined) return held;
    const column = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) column[i] = valueOf(this.candidates[i] as Candidate) ?? UNKNOWN;
    this.#columns.set(name, column);
    return column;
  }
}

export function isVerified({ trust, publicKey }: Candidate): boolean {
  return isBelieved(trust) && publicKey !== undefined;
}

function factsOf(candidates: readonly Candidate[]): Facts {
  const facts = Object.fromEntries(FACT_NAMES.map((name) => [name, new Float64Array(candidates.length)])) as Record<(typeof FACT_NAMES)[number], Column>;
  const { alive, verified, notRejected, latency, jitter, loss, queue, price, reputation, declaredReputation } = facts;
  for (let i = 0; i < candidates.length; i++) {
    const c = candidates[i] as Candidate;
    alive[i] = c.alive === undefined ? UNKNOWN : Number(c.alive);
    verified[i] = Number(isVerified(c));
    notRejected[i] = Number(!isRejected(c.trust) && c.trust !== "federated");
    latency[i] = c.latencyUs ?? UNKNOWN;
    jitter[i] = c.jitterUs ?? UNKNOWN;
    loss[i] = c.lossPpm ?? UNKNOWN;
    queue[i] = c.queueDepth ?? UNKNOWN;
    price[i] = c.priceMicroUsdPerGb ?? UNKNOWN;
    reputation[i] = c.reputationPpm ?? UNKNOWN;
    declaredReputation[i] = c.declaredReputationPpm ?? UNKNOWN;
  }
  return facts;
}
