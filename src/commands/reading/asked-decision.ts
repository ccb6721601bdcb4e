/** A decision that a sidecar is asked for: it decides over the cluster as it sees it, signs, and keeps the record. */
import { policyHash } from "../../policy/stored-policy.js";
import { clientTlsFrom } from "./client-tls-files.js";
import { hostPort } from "./flags.js";
import { DecisionError, type KeptDecision, verifiedDecision } from "./kept-decision.js";
import type { LiveOptions } from "./live-decision.js";
import { type FoundPolicy, loadPolicy } from "./policy-source.js";
import { openSource } from "./source.js";

/** Rejects with PolicyFileError, DecisionError, UsageError or ApiError. `headers` say who asks. */
export async function recordDecision(what: string, options: LiveOptions, headers: Readonly<Record<string, string>>): Promise<{ kept: KeptDecision; policy: FoundPolicy }> {
  const { askToDecide } = await import("../../sidecar/api/policy-client.js");
  const address = hostPort(options["grpc-addr"]);
  const source = await openSource(options, process.env);
  try {
    const policy = await loadPolicy(what, source.stored);
    const { name, value } = await askToDecide({ policy: policy.bytes, name: policy.name, ...(options.job === undefined ? {} : { job: options.job }) }, { address, tls: clientTlsFrom(options), headers });
    const kept = verifiedDecision(name, value);
    const by = kept.signed.record.policies.find(({ role }) => role === "spawn");
    if (by?.hash !== policyHash(policy.bytes)) throw new DecisionError("decision-verification", `the sidecar decided by another policy than the one it was asked by: sha256 ${by?.hash ?? "none"}`);
    return { kept, policy };
  } finally {
    source.close();
  }
}
