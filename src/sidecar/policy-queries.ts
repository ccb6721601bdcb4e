/**
 * Which policy holds: this sidecar's, the one that a node publishes, or the one that a workload was placed by. Answers come
 * from what was verified: signed states, and the signed decision. Not the policy's bytes (stored-records.ts).
 */
import type { KeyAdmission } from "../beacon/keys.js";
import { isBelieved, type NodeView } from "../beacon/node-view.js";
import type { PolicyContext } from "../beacon/record.js";
import type { Role } from "../policy/decide.js";
import { openDecision } from "../policy/decision-document.js";
import { readPolicy } from "../policy/policy-file.js";
import { policyContext } from "./cluster-policy.js";
import type { CallOptions } from "./consul-api.js";
import type { StoredRecords } from "./stored-records.js";

export interface PolicyQuestion {
  /** Consul node. */
  node?: string;
  /** Nomad job, or allocation. Its last decision counts. */
  workload?: string;
  /** Of a workload's two. Default: the one that it was scored by. */
  role?: Role;
}

export class PolicyQueryError extends Error {
  override readonly name = "PolicyQueryError";
  constructor(
    readonly code: "not-found" | "unverified",
    message: string,
  ) {
    super(message);
  }
}

export interface PolicyQueriesDeps {
  /** Of --cluster-policy. */
  own: () => PolicyContext | undefined;
  nodes: () => Promise<NodeView[]>;
  stored: Pick<StoredRecords, "decision">;
  keys: KeyAdmission;
}

export class PolicyQueries {
  constructor(private readonly deps: PolicyQueriesDeps) {}

  /** Rejects with PolicyQueryError or ConsulError. */
  async answer({ node, workload, role }: PolicyQuestion, options: CallOptions = {}): Promise<PolicyContext> {
    if (workload !== undefined) return this.#ofWorkload(workload, role, options);
    if (node === undefined) return found(this.deps.own(), "this sidecar has no cluster policy");
    const view = (await this.deps.nodes()).find(({ name }) => name === node);
    if (view === undefined || !isBelieved(view.trust)) throw new PolicyQueryError("not-found", `${JSON.stringify(node)} is no node that this sidecar believes`);
    return found(view.state?.record.policy, `the signed state of ${node} names no cluster policy`);
  }

  async #ofWorkload(workload: string, role: Role | undefined, options: CallOptions): Promise<PolicyContext> {
    const all = (await this.deps.nodes()).flatMap(({ trust, state }) => (isBelieved(trust) ? (state?.record.workloads ?? []) : []));
    const sources = all.flatMap(({ id, job, source }) => (source !== undefined && (id === workload || job === workload) ? [source] : []));
    const { decisionId } = found(sources.sort((a, b) => b.generation - a.generation)[0], `no workload ${JSON.stringify(workload)} runs by a decision`);
    const value = found(await this.deps.stored.decision(decisionId, options), `decision ${decisionId} is not in the cluster any more`);
    const opened = openDecision(decisionId, value, this.deps.keys);
    if (!opened.ok) throw new PolicyQueryError("unverified", `decision ${decisionId} fails verification: ${opened.reason}: ${opened.detail}`);
    const { policies } = opened.signed.record;
    const policy = found(role === undefined ? policies.at(-1) : policies.find((one) => one.role === role), `decision ${decisionId} has no ${role ?? ""} policy`);
    const read = policy.file === undefined ? undefined : readPolicy(policy.file);
    return policyContext(policy, read?.ok === true ? read.file.policy.tags : []);
  }
}

function found<T>(value: T | undefined, otherwise: string): T {
  if (value === undefined) throw new PolicyQueryError("not-found", otherwise);
  return value;
}
