/** Policies applied to the cluster as it is now: what `policy rank` and `cluster why-not --policy` show. Places nothing. */
import { Flags } from "@oclif/core";
import { decide, type Decision, type Policies } from "../../policy/decide.js";
import { servicesIn } from "../../sidecar/service-nodes.js";
import { readingFlags, type ReadingFlags, tlsFlags, type TrustFlags, trustFlags } from "./flags.js";
import type { TlsFlags } from "./client-tls-files.js";
import { leftOut, loadClusterPolicy } from "./cluster-policy.js";
import { loadPolicy } from "./policy-source.js";
import { openSource } from "./source.js";

export const sourceFlags = {
  "grpc-addr": readingFlags["grpc-addr"],
  ...tlsFlags,
  consul: readingFlags.consul,
  datacenter: readingFlags.datacenter,
  ...trustFlags,
};
export type SourceOptions = Pick<ReadingFlags, "consul" | "datacenter" | "grpc-addr"> & TlsFlags & TrustFlags;

export const liveFlags = {
  ...sourceFlags,
  "cluster-policy": Flags.string({ summary: "The cluster's policy, which must hold too. Default: the asked sidecar's own; with --consul none.", helpValue: "FILE|NAME" }),
  job: Flags.string({ summary: "Nomad job ID of the workload, for anti_affinity and spread.", helpValue: "ID" }),
};

export interface LiveOptions extends SourceOptions {
  "cluster-policy"?: string | undefined;
  job?: string | undefined;
}

/** `use` may ask the decision's policies again; modules end after it. Rejects with PolicyFileError, WasmPolicyError, UsageError, ApiError or ConsulError. */
export async function withLiveDecision<T>(policy: string, options: LiveOptions, use: (decision: Decision) => Promise<T> | T): Promise<T> {
  const source = await openSource(options, process.env);
  const policies: Policies = {};
  try {
    policies.spawn = (await loadPolicy(policy, source.stored)).evaluator;
    const cluster = await loadClusterPolicy(options["cluster-policy"], source);
    if (cluster !== undefined) policies.cluster = cluster;
    const names = servicesIn(policies);
    const [nodes, services] = await Promise.all([source.read(new AbortController().signal, () => {}), names.length === 0 ? new Map() : source.services(names)]);
    const missing = leftOut(nodes, cluster);
    if (missing !== undefined) process.stderr.write(`${missing}\n`);
    return await use(await decide({ nodes, policies, services, nowMs: Date.now(), request: options.job === undefined ? {} : { job: options.job } }));
  } finally {
    for (const evaluator of Object.values(policies)) await evaluator.close?.();
    source.close();
  }
}
