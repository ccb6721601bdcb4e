/**
 * A WebAssembly module as an Evaluator. What holds in every strict policy holds beside it: a node that is down or not
 * verified is excluded, whatever the module says. A module has no mode of its own, and is taken as enforce: where it
 * gives no verdicts (WasmPolicyError) there is no decision, and so nobody is chosen. A module that wants to be lenient
 * passes a node and scores it low.
 */
import { CONTROL } from "../beacon/codec.js";
import { isBelieved } from "../beacon/node-view.js";
import { applyRules } from "./apply-rules.js";
import type { Candidate } from "./candidate.js";
import type { Batch, Evaluation, Evaluator, PolicyIdentity, Reasons, TermStatement } from "./evaluator.js";
import { ALIVE, type Rule, VERIFIED } from "./rules.js";
import { PPM } from "./scoring.js";
import type { WasmCandidate, WasmVerdict } from "./wasm-candidate.js";
import { recordableName } from "./recordable.js";
import { WasmHost, type WasmHostOptions } from "./wasm-host.js";
import type { WasmProfile } from "./wasm-module.js";

/** Its score as a term, so that decision records carry it and show it where another policy's counts. */
const TERM: TermStatement = { name: "module", unit: "score", weight: 1, unknown: "reject", best: PPM, worst: 0 };

export class WasmEvaluator implements Evaluator {
  readonly identity: PolicyIdentity;
  readonly policy = undefined;
  /** A module is too large for a decision record: its hash stands there. */
  readonly file = undefined;
  readonly #host: WasmHost;

  /** `name` is what it was put under, or its file's. Throws WasmPolicyError `refused`. Starts nothing. */
  constructor(module: Uint8Array, name: string, options: Partial<WasmHostOptions> = {}) {
    this.#host = new WasmHost(module, options);
    this.identity = { name: recordableName(name), mode: "enforce", hash: this.#host.hash };
  }

  get profile(): WasmProfile {
    return this.#host.profile;
  }

  /** Rejects with WasmPolicyError. */
  async evaluate({ table, job }: Batch): Promise<Evaluation> {
    const verdicts = (await this.#host.evaluate(table.candidates.map(wasmCandidateOf))).map((verdict) => ({ ...verdict, reason: recordable(verdict.reason) }));
    const said = (index: number): WasmVerdict => verdicts[index] as WasmVerdict;
    const passes: Rule = {
      statement: { name: "module", unit: "yes-no", sense: "min", limit: 1, unknown: "reject" },
      column: () => Float64Array.from(verdicts, ({ pass }) => Number(pass)),
      note: (_, index) => said(index).reason || undefined,
    };
    const { statuses, violations, resultsFor } = applyRules([ALIVE, VERIFIED, passes], this.identity.mode, table, job);
    const scores = Float64Array.from(verdicts, ({ scorePpm }) => scorePpm);
    return {
      statuses,
      violations,
      decimals: 6,
      tieBreaks: [],
      scoresPpm: () => scores,
      reasonsFor: (index): Reasons => {
        const { scorePpm, reason } = said(index);
        return { rules: resultsFor(index), terms: [{ term: TERM, value: scorePpm, score: scorePpm / PPM }], said: reason === "" ? [] : [reason] };
      },
    };
  }

  /** Ends its worker. The next evaluation would start another. */
  async close(): Promise<void> {
    await this.#host.close();
  }
}

/** A reason goes into decision records, whose texts have no control characters. */
function recordable(reason: string): string {
  return reason.toWellFormed().replace(new RegExp(CONTROL, "g"), "\ufffd");
}

/** The facts of a module's batch (docs/policy-wasm.md). */
function wasmCandidateOf(candidate: Candidate): WasmCandidate {
  const { node, datacenter, trust, publicKey, alive, latencyUs, latencyEstimated, capabilities = [] } = candidate;
  const { jitterUs, lossPpm, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, workloads } = candidate;
  return {
    node, datacenter, verified: isBelieved(trust) && publicKey !== undefined, alive, latencyUs, latencySource: latencyUs === undefined ? undefined : latencyEstimated ? "estimated" : "measured",
    jitterUs, lossPpm, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, workloads, capabilities,
  };
}
