/** The service Policies for the command line: bytes of a sidecar, which the caller verifies. Every call rejects with ApiError. */
import type { ServiceNodes } from "../../policy/candidates.js";
import type { ibrl } from "../../proto/messages.js";
import type { StoredDocument, StoredRecords } from "../stored-records.js";
import { ApiError } from "./api-error.js";
import { type CallOptions, callSidecar } from "./client.js";
import { PoliciesDefinition } from "./service-definition.js";

/** Decides by the policy over the cluster as the sidecar sees it; signed and kept by the sidecar. */
export async function askToDecide(order: { policy: Uint8Array; name: string; job?: string }, options: CallOptions): Promise<StoredDocument> {
  return documentOf(await callSidecar(PoliciesDefinition.Decide, { policy: order.policy, policy_name: order.name, job: order.job ?? "" }, options));
}

export async function askToPut(name: string, policy: Uint8Array, options: CallOptions): Promise<StoredDocument> {
  return documentOf(await callSidecar(PoliciesDefinition.PutPolicy, { name, policy }, options));
}

export async function findServices(names: readonly string[], options: CallOptions): Promise<ServiceNodes> {
  const { services } = await callSidecar(PoliciesDefinition.FindServices, { names: [...names] }, options);
  return new Map((services ?? []).map(({ name, nodes }) => [name ?? "", nodes ?? []]));
}

/** The one of its --cluster-policy; undefined where it has none. */
export async function askForClusterPolicy(options: CallOptions): Promise<StoredDocument | undefined> {
  try {
    const [document] = (await callSidecar(PoliciesDefinition.GetStored, { cluster_policy: true }, options)).documents ?? [];
    return document === undefined ? undefined : documentOf(document);
  } catch (error) {
    if (error instanceof ApiError && error.code === "unimplemented") return undefined; // it has no policies at all
    throw error;
  }
}

export function storedAt(options: CallOptions): StoredRecords {
  const ask = async (query: ibrl.v1.StoredQuery.$Properties) => ((await callSidecar(PoliciesDefinition.GetStored, query, options)).documents ?? []).map(documentOf);
  const one = async (query: ibrl.v1.StoredQuery.$Properties) => (await ask(query))[0]?.value;
  return {
    decision: (decision) => one({ decision }),
    policy: (policy) => one({ policy }),
    policyBytes: (hash) => one({ policy_hash: hash }),
    policies: () => ask({}),
    usage: ({ node = "", fromMs, toMs }) => ask({ usage: { node, from_ms: fromMs, to_ms: toMs } }),
  };
}

function documentOf({ name, value }: ibrl.v1.StoredDocument.$Properties): StoredDocument {
  return { name: name ?? "", value: value ?? new Uint8Array() };
}
