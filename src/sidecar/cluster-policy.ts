/**
 * The cluster's policy of --cluster-policy: read once at the start, applied to every decision of this sidecar beside the
 * spawn's, and published by its name and hash, so that a node that applies another one is seen. Not its evaluation.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { PolicyContext } from "../beacon/record.js";
import type { Evaluator, PolicyIdentity } from "../policy/evaluator.js";
import { recordable } from "../policy/recordable.js";
import { openPolicy } from "../policy/open-policy.js";
import type { WasmHostObserver } from "../policy/wasm-host.js";
import { problemText } from "../policy/wording.js";
import { SettingsError } from "./settings.js";
import type { StoredDocument } from "./stored-records.js";

export interface ClusterPolicy {
  evaluator: Evaluator;
  context: PolicyContext;
  /** As it was read, for who asks; a module's name is its file's. */
  document: StoredDocument;
}

/** Undefined where none is set. Throws SettingsError: a sidecar that cannot apply it does not start. */
export function readClusterPolicy(path: string, observer: WasmHostObserver): ClusterPolicy | undefined {
  if (path === "") return undefined;
  const document = { name: basename(path, ".wasm"), value: bytesAt(path) };
  const opened = openPolicy(document.value, document.name, { observer });
  if (!opened.ok) throw new SettingsError("--cluster-policy", `${path} cannot be used: ${opened.problems.map(problemText).join("; ")}`);
  const { identity, policy } = opened.evaluator;
  return { evaluator: opened.evaluator, context: policyContext(identity, policy?.tags ?? []), document };
}

/** As it is published, and as queries are answered. */
export function policyContext({ name, hash, mode }: PolicyIdentity, tags: readonly string[]): PolicyContext {
  return { id: `${name}@${hash.slice(0, 16)}`, tags: tags.map(recordable), enforcement: mode };
}

function bytesAt(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SettingsError("--cluster-policy", `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
