/** A decision that was kept: fetched or read from a file, verified, and worked out again from its record. */
import { readFile } from "node:fs/promises";
import type { Signed } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
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

/** Rejects with DecisionError or UsageError, and as `stored` does. */
export async function findDecision(id: string, stored: StoredRecords): Promise<KeptDecision> {
  if (!DECISION_ID_RULE.test(id)) throw new UsageError(`${JSON.stringify(id)} is no decision's ID: 32 hex digits`);
  const value = await stored.decision(id);
  if (value === undefined) throw new DecisionError("no-decision", `there is no decision ${id} in the cluster: a node keeps its last hundred`);
  return verifiedDecision(id, value);
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
