/** What decisions by policy and policy modules tell, turned into metrics and log lines; as telemetry.ts for the loops. */
import type { Logger } from "pino";
import { kindOf } from "../policy/rules.js";
import type { WasmHostObserver } from "../policy/wasm-host.js";
import type { DecisionObserver } from "./decisions.js";
import type { Metrics } from "./metrics.js";

export class PolicyTelemetry {
  constructor(private readonly deps: { metrics: Metrics; logger: Logger }) {}

  readonly decisions: DecisionObserver = {
    decided: (decision, elapsedMs) => {
      const { metrics, logger } = this.deps;
      const [first] = decision.best(1);
      metrics.policyEvaluation(first === undefined ? "no-match" : "match");
      metrics.policyDecision.observe(elapsedMs / 1_000);
      for (const { evaluation } of decision.applied) for (const [rule, count] of evaluation.violations) metrics.policyViolation(kindOf(rule), count);
      const told = { policies: decision.applied.map(({ evaluator }) => evaluator.identity.name), job: decision.request.job };
      if (first === undefined) logger.warn({ ...told, nodes: decision.table.size }, "no node satisfies the policy: nothing is chosen");
      else if (first.status === "violating") logger.warn({ ...told, node: first.candidate.node }, "every node violates the permissive policy: the best of them is first");
    },
    failed: (error) => {
      this.deps.metrics.policyEvaluation("failed");
      this.deps.logger.warn({ err: error }, "a policy gave no verdicts: nothing is chosen");
    },
  };

  readonly wasm: WasmHostObserver = {
    evaluated: (elapsedMs, fault) => {
      this.deps.metrics.policyWasm.observe(elapsedMs / 1_000);
      if (fault !== undefined) this.deps.metrics.policyWasmFault(fault);
    },
    killed: () => this.deps.metrics.policyWasmKills.inc(),
  };
}
