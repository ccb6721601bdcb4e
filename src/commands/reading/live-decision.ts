/** Policies applied to the cluster as it is now: what `policy rank` and `cluster why-not --policy` show. Places nothing. */
import { Flags } from "@oclif/core";
import { decide, type Decision, type Policies } from "../../policy/decide.js";
import { readingFlags, type ReadingFlags } from "./flags.js";
import { loadPolicy } from "./policy-source.js";
import { openSource } from "./source.js";
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

/** `use` may ask the decision's policies again; modules end after it. Rejects with PolicyFileError, WasmPolicyError, UsageError, ApiError or ConsulError. */
export async function withLiveDecision<T>(file: string, options: LiveOptions, use: (decision: Decision) => Promise<T> | T): Promise<T> {
  const policies: Policies = { spawn: (await loadPolicy(file)).evaluator };
  const cluster = options["cluster-policy"];
  try {
    if (cluster !== undefined) policies.cluster = (await loadPolicy(cluster)).evaluator;
    if (Object.values(policies).some(({ policy }) => policy?.links.some(({ target }) => "service" in target))) {
      throw new UsageError("a policy with links to a service cannot be ranked from here yet; write links to nodes");
    }
    const source = await openSource(options, process.env);
    try {
      const nodes = await source.read(new AbortController().signal, () => {});
      return await use(await decide({ nodes, policies, nowMs: Date.now(), request: options.job === undefined ? {} : { job: options.job } }));
    } finally {
      source.close();
    }
  } finally {
    for (const evaluator of Object.values(policies)) await evaluator.close?.();
  }
}
