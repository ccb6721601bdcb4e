/** Policies applied to the cluster as it is now: what `policy rank` and `cluster why-not --policy` show. Places nothing. */
import { decide, type Decision, type Policies } from "../../policy/decide.js";
import { JsonEvaluator } from "../../policy/json-evaluator.js";
import { readingFlags, type ReadingFlags } from "./flags.js";
import { loadPolicyFile } from "./policy-source.js";
import { openSource } from "./source.js";
import { Flags } from "@oclif/core";
import { UsageError } from "./usage-error.js";

export const liveFlags = {
  "grpc-addr": readingFlags["grpc-addr"],
  consul: readingFlags.consul,
  datacenter: readingFlags.datacenter,
  "cluster-policy": Flags.string({ summary: "The cluster's policy, which must hold too.", helpValue: "FILE" }),
  job: Flags.string({ summary: "Nomad job ID of the workload, for anti_affinity and spread.", helpValue: "ID" }),
};

export interface LiveOptions extends Pick<ReadingFlags, "consul" | "datacenter" | "grpc-addr"> {
  "cluster-policy"?: string | undefined;
  job?: string | undefined;
}

/** Rejects with PolicyFileError, UsageError, ApiError or ConsulError. */
export async function decideLive(file: string, options: LiveOptions): Promise<Decision> {
  const policies: Policies = { spawn: new JsonEvaluator(await loadPolicyFile(file)) };
  const cluster = options["cluster-policy"];
  if (cluster !== undefined) policies.cluster = new JsonEvaluator(await loadPolicyFile(cluster));
  for (const evaluator of Object.values(policies)) {
    const service = evaluator.policy?.links.find(({ target }) => "service" in target);
    if (service !== undefined) throw new UsageError("a policy with links to a service cannot be ranked from here yet; write links to nodes");
  }
  const source = await openSource(options, process.env);
  try {
    const nodes = await source.read(new AbortController().signal, () => {});
    return await decide({ nodes, policies, nowMs: Date.now(), request: options.job === undefined ? {} : { job: options.job } });
  } finally {
    source.close();
  }
}
