/** A decision that was kept: fetched or read from a file, verified, and worked out again from its record. */
import { readFile } from "node:fs/promises";
import type { Signed } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import { DECISION_ID_RULE, openDecision } from "../../policy/decision-document.js";
import type { DecisionRecord, RecordedPolicy } from "../../policy/decision-record.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { openPolicy } from "../../policy/open-policy.js";
import { replay, type Replay } from "../../policy/replay.js";
import type { StoredRecords } from "../../sidecar/stored-records.js";
import { UsageError } from "./usage-error.js";

export interface KeptDecision {
  id: string;
  signed: Signed<DecisionRecord>;
  /** As it lies in KV. */
  document: unknown;
}

export class DecisionError extends Error {
  override readonly name = "DecisionError";
  constructor(
    readonly code: "no-decision" | "decision-verification",
    message: string,
  ) {
    super(message);
  }
}

/** `what` is a decision's ID, or a workload that runs by one. Rejects with DecisionError or UsageError, and as `stored` does. */
export async function findDecision(what: string, stored: StoredRecords, nodes: readonly NodeView[]): Promise<KeptDecision> {
  const id = DECISION_ID_RULE.test(what) ? what : decisionOf(what, nodes);
  if (id === undefined) throw new UsageError(`${JSON.stringify(what)} is neither a decision's ID (32 hex digits) nor a workload that runs by a decision`);
  const value = await stored.decision(id);
  if (value === undefined) throw new DecisionError("no-decision", `there is no decision ${id} in the cluster: a node keeps its last hundred`);
  return verifiedDecision(id, value);
}

/** By the signed states: of a job's allocations, or of one allocation, the decision of the last move. */
function decisionOf(workload: string, nodes: readonly NodeView[]): string | undefined {
  const all = nodes.flatMap(({ trust, state }) => (isBelieved(trust) ? (state?.record.workloads ?? []) : []));
  const sources = all.flatMap(({ id, job, source }) => (source !== undefined && (job === workload || id === workload) ? [source] : []));
  return sources.sort((a, b) => b.generation - a.generation)[0]?.decisionId;
}

/** Of a file with what lies in KV, or with what `cluster explain --json` prints. Rejects with DecisionError. */
export async function decisionInFile(path: string): Promise<KeptDecision> {
  try {
    const content = JSON.parse(await readFile(path, "utf8")) as { document?: unknown };
    const document = (content.document ?? content) as { decision?: { id?: unknown } };
    return verifiedDecision(String(document.decision?.id), Buffer.from(JSON.stringify(document)));
  } catch (error) {
    if (error instanceof DecisionError) throw error;
    throw new UsageError(`${path} holds no decision: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Throws DecisionError. */
export function verifiedDecision(id: string, value: Uint8Array): KeptDecision {
  const opened = openDecision(id, value, new KeyAdmission());
  if (!opened.ok) throw new DecisionError("decision-verification", `decision ${id} fails verification: ${opened.reason}: ${opened.detail}`);
  return { id, signed: opened.signed, document: JSON.parse(Buffer.from(value).toString("utf8")) };
}

/** `use` may ask the replayed decision's policies again; modules end after it. `bytesOf` brings a module by its hash. */
export async function withReplay<T>(record: DecisionRecord, bytesOf: (hash: string) => Promise<Uint8Array | undefined>, use: (replayed: Replay) => Promise<T> | T): Promise<T> {
  const modules: Evaluator[] = [];
  const moduleOf = async ({ hash, name }: RecordedPolicy): Promise<Evaluator | undefined> => {
    const bytes = await bytesOf(hash);
    const opened = bytes === undefined ? undefined : openPolicy(bytes, name);
    if (opened?.ok !== true) return undefined;
    modules.push(opened.evaluator);
    return opened.evaluator;
  };
  try {
    return await use(await replay(record, moduleOf));
  } finally {
    for (const module of modules) await module.close?.();
  }
}
