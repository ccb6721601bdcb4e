/** The service Policies: what is asked for is checked here, done by policy-desk.ts, and read from KV as it lies there. */
import { type sendUnaryData, type ServerUnaryCall, status, type StatusObject } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { NAME_RULE } from "../../beacon/record.js";
import type { ServiceNodes } from "../../policy/candidates.js";
import { DECISION_ID_RULE } from "../../policy/decision-document.js";
import { POLICY_HASH_RULE, POLICY_NAME_RULE } from "../../policy/stored-policy.js";
import { WasmPolicyError } from "../../policy/wasm-host.js";
import type { ibrl } from "../../proto/messages.js";
import { ConsulError } from "../consul-api.js";
import { NotJoinedError } from "../decisions.js";
import { type PolicyDesk, PolicyRefusedError } from "../policy-desk.js";
import type { StoredDocument, StoredRecords } from "../stored-records.js";
import type { Caller } from "./caller.js";

export interface PolicyService {
  desk: Pick<PolicyDesk, "decide" | "put">;
  stored: StoredRecords;
  /** Of --cluster-policy. */
  clusterPolicy: () => StoredDocument | undefined;
  /** Rejects with ConsulError. */
  services: (names: readonly string[], options: { signal: AbortSignal }) => Promise<ServiceNodes>;
}

type DocumentMessage = ibrl.v1.StoredDocument.$Properties;
type Call<Q> = ServerUnaryCall<Q, never>;

const MAX_SERVICES = 64;
/** Consul's names, as policy files take them. */
const SERVICE_RULE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

class BadRequestError extends Error {}

export class GrpcPolicies {
  constructor(
    private readonly service: PolicyService,
    private readonly logger: Logger,
    private readonly closing: AbortSignal,
  ) {}

  readonly decide = (call: Call<ibrl.v1.DecideRequest.$Properties>, done: sendUnaryData<DocumentMessage>): void =>
    void this.#answer("Decide", call, done, async (signal) => {
      const { policy, policy_name: name, job } = call.request;
      const { id, document } = await this.service.desk.decide({ policy: policy ?? new Uint8Array(), name: name || "spawn", ...(job ? { job: jobId(job) } : {}) }, { signal });
      return { name: id, value: Buffer.from(document) };
    });

  readonly put = (call: Call<ibrl.v1.PutPolicyRequest.$Properties>, done: sendUnaryData<DocumentMessage>, caller: Caller): void =>
    void this.#answer("PutPolicy", call, done, (signal) =>
      this.service.desk.put({ name: call.request.name ?? "", bytes: call.request.policy ?? new Uint8Array(), putBy: caller.name }, { signal }));

  readonly stored = (call: Call<ibrl.v1.StoredQuery.$Properties>, done: sendUnaryData<ibrl.v1.StoredDocuments.$Properties>): void =>
    void this.#answer("GetStored", call, done, async (signal) => ({ documents: await this.#documents(call.request, signal) }));

  readonly services = (call: Call<ibrl.v1.ServicesQuery.$Properties>, done: sendUnaryData<ibrl.v1.ServicePlaces.$Properties>): void =>
    void this.#answer("FindServices", call, done, async (signal) => {
      const names = call.request.names ?? [];
      if (names.length > MAX_SERVICES) throw new BadRequestError(`names: ${String(names.length)}; at most ${String(MAX_SERVICES)}`);
      const found = await this.service.services(names.map((name) => matching("names", name, SERVICE_RULE)), { signal });
      return { services: [...found].map(([name, nodes]) => ({ name, nodes: [...nodes] })) };
    });

  async #documents({ decision, policy, policy_hash: hash, cluster_policy: cluster, usage }: ibrl.v1.StoredQuery.$Properties, signal: AbortSignal): Promise<StoredDocument[]> {
    const { stored, clusterPolicy } = this.service;
    if (cluster === true) return [clusterPolicy() ?? []].flat();
    const one = (name: string, value: Uint8Array | undefined): StoredDocument[] => (value === undefined ? [] : [{ name, value }]);
    if (usage !== null && usage !== undefined) {
      const { node } = usage;
      return stored.usage({ ...(node ? { node: matching("usage.node", node, NAME_RULE) } : {}), fromMs: time("usage.from_ms", usage.from_ms), toMs: time("usage.to_ms", usage.to_ms) }, { signal });
    }
    if (decision) return one(decision, await stored.decision(matching("decision", decision, DECISION_ID_RULE), { signal }));
    if (policy) return one(policy, await stored.policy(matching("policy", policy, POLICY_NAME_RULE), { signal }));
    if (hash) return one(hash, await stored.policyBytes(matching("policy_hash", hash, POLICY_HASH_RULE), { signal }));
    return stored.policies({ signal });
  }

  async #answer<S>(name: string, call: { once(event: "cancelled", listener: () => void): unknown }, done: sendUnaryData<S>, act: (signal: AbortSignal) => Promise<S>): Promise<void> {
    const gone = new AbortController();
    call.once("cancelled", () => gone.abort());
    try {
      done(null, await act(AbortSignal.any([gone.signal, this.closing])));
    } catch (error) {
      done(this.#failure(name, error));
    }
  }

  #failure(call: string, error: unknown): Partial<StatusObject> {
    const details = error instanceof Error ? error.message : String(error);
    if (error instanceof BadRequestError || error instanceof PolicyRefusedError || error instanceof WasmPolicyError) return { code: status.INVALID_ARGUMENT, details };
    if (error instanceof NotJoinedError) return { code: status.UNAVAILABLE, details };
    if (error instanceof ConsulError && error.code === "permission") return { code: status.FAILED_PRECONDITION, details: `Consul: ${details}` };
    if (error instanceof ConsulError && error.transient) return { code: status.UNAVAILABLE, details: `Consul: ${details}` };
    this.logger.error({ err: error, call }, "grpc call failed");
    return { code: status.INTERNAL, details };
  }
}

/** Keys of KV are made of it. */
function matching(field: string, value: string, rule: RegExp): string {
  if (!rule.test(value)) throw new BadRequestError(`${field}: ${JSON.stringify(value.slice(0, 80))} is none`);
  return value;
}

function time(field: string, value: unknown): number {
  const ms = Number(value ?? 0);
  if (!Number.isSafeInteger(ms)) throw new BadRequestError(`${field}: is no time in milliseconds`);
  return ms;
}

/** Nomad's own limit. */
function jobId(job: string): string {
  if (job.length > 1_024 || /[\s\0]/.test(job)) throw new BadRequestError("job: is no Nomad job ID");
  return job;
}
