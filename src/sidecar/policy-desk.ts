/**
 * What a sidecar does with policies when somebody asks: decides by one over the cluster as it sees it, and puts one into
 * KV. Both are signed by this node. Not who may ask (api/caller.ts), and nothing is placed here.
 */
import type { KeyObject } from "node:crypto";
import type { NodeView } from "../beacon/node-view.js";
import type { Policies } from "../policy/decide.js";
import type { SealedDecision } from "../policy/decision-document.js";
import type { Evaluator } from "../policy/evaluator.js";
import { openPolicy } from "../policy/open-policy.js";
import { MAX_STORED_BYTES, POLICY_NAME_RULE, policyBytesKey, policyHash, policyNameKey, sealStoredPolicy } from "../policy/stored-policy.js";
import type { WasmHostObserver } from "../policy/wasm-host.js";
import { problemText } from "../policy/wording.js";
import type { Clock } from "./clock.js";
import type { CallOptions, ConsulApi } from "./consul-api.js";
import type { Decisions } from "./decisions.js";
import { serviceNodes, servicesIn } from "./service-nodes.js";
import type { StoredDocument } from "./stored-records.js";

export interface DecideOrder {
  policy: Uint8Array;
  /** Of a module. */
  name: string;
  job?: string;
}

export class PolicyRefusedError extends Error {
  override readonly name = "PolicyRefusedError";
  readonly code = "policy-refused";
}

export interface PolicyDeskDeps {
  consul: Pick<ConsulApi, "kvPut" | "serviceInstances">;
  decisions: Decisions;
  identity: { publicKey: Uint8Array; privateKey: KeyObject };
  nodes: () => Promise<NodeView[]>;
  /** The cluster's; undefined where it has none. */
  clusterPolicy: () => Evaluator | undefined;
  clock: Clock;
  /** Of modules. */
  wasm: WasmHostObserver;
}

export class PolicyDesk {
  constructor(private readonly deps: PolicyDeskDeps) {}

  /** Decides, signs, keeps. Rejects with PolicyRefusedError, WasmPolicyError, NotJoinedError, ConsulError. */
  async decide({ policy, name, job }: DecideOrder, options: CallOptions = {}): Promise<SealedDecision> {
    const { consul, decisions, nodes, clusterPolicy, clock, wasm } = this.deps;
    const spawn = evaluatorOf(policy, name, wasm);
    try {
      const cluster = clusterPolicy();
      const policies: Policies = { spawn, ...(cluster === undefined ? {} : { cluster }) };
      const [views, services] = await Promise.all([nodes(), serviceNodes(consul, servicesIn(policies), options)]);
      const { sealed } = await decisions.make({ nodes: views, policies, services, nowMs: clock.nowMs(), request: job === undefined ? {} : { job } });
      await decisions.keep(sealed, options);
      return sealed;
    } finally {
      await spawn.close?.();
    }
  }

  /** The bytes first, so that no name leads to nothing. Rejects with PolicyRefusedError or ConsulError. */
  async put({ name, bytes, putBy }: { name: string; bytes: Uint8Array; putBy: string }, options: CallOptions = {}): Promise<StoredDocument> {
    const { consul, identity, clock, wasm } = this.deps;
    if (!POLICY_NAME_RULE.test(name)) throw new PolicyRefusedError(`${JSON.stringify(name)} is no name of a policy: 1 to 64 letters, digits, . _ -, the first a letter or digit`);
    if (bytes.length > MAX_STORED_BYTES) throw new PolicyRefusedError(`the policy is ${String(bytes.length)} bytes, and Consul's KV takes ${String(MAX_STORED_BYTES)}`);
    const evaluator = evaluatorOf(bytes, name, wasm);
    const hash = policyHash(bytes);
    const kind = evaluator.file === undefined ? "module" : "file";
    const document = sealStoredPolicy({ name, kind, hash, sizeBytes: bytes.length, putAtMs: clock.nowMs(), putBy }, identity);
    await consul.kvPut(policyBytesKey(hash), bytes, options);
    await consul.kvPut(policyNameKey(name), document, options);
    return { name, value: Buffer.from(document) };
  }
}

function evaluatorOf(bytes: Uint8Array, name: string, observer: WasmHostObserver): Evaluator {
  const opened = openPolicy(bytes, name, { observer });
  if (opened.ok) return opened.evaluator;
  throw new PolicyRefusedError(`the policy cannot be used: ${opened.problems.map(problemText).join("; ")}`);
}
