/**
 * Policies of the command line, files and modules, on this disk or stored in the cluster: read, verified where they are
 * stored, and refused with everything that is wrong with them.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Signed } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { CandidateTable } from "../../policy/candidate-table.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { openPolicy, type OpenedPolicy } from "../../policy/open-policy.js";
import type { Problem } from "../../policy/read-fields.js";
import { openStoredPolicy, POLICY_HASH_RULE, POLICY_NAME_RULE, policyHash, type StoredPolicy } from "../../policy/stored-policy.js";
import { WasmPolicyError } from "../../policy/wasm-host.js";
import { problemText } from "../../policy/wording.js";
import type { StoredRecords } from "../../sidecar/stored-records.js";
import { printable } from "../views/printable.js";

/** `message` names the file and each problem on a line of its own. */
export class PolicyFileError extends Error {
  override readonly name = "PolicyFileError";
  readonly code = "policy-file";
  constructor(
    path: string,
    readonly problems: readonly Problem[],
  ) {
    super([`${path} is no policy that can be used:`, ...problems.map((problem) => `  ${printable(problemText(problem))}`)].join("\n"));
  }
}

export interface FoundPolicy {
  bytes: Uint8Array;
  /** A module has no name of its own: its file's, or what it is stored under. */
  name: string;
  /** Who put it into the cluster; absent for a file, and for bytes that were asked for by their hash. */
  signed?: Signed<StoredPolicy>;
}
export type LoadedPolicy = Extract<OpenedPolicy, { ok: true }> & FoundPolicy;

/** `what` is a file, or where there is none of that name a stored policy's name or SHA-256. Rejects with PolicyFileError, and as `stored` does. */
export async function loadPolicy(what: string, stored?: StoredRecords): Promise<LoadedPolicy> {
  const found = stored === undefined || existsSync(what) ? await fileAt(what) : await findStored(what, stored);
  const opened = openPolicy(found.bytes, found.name);
  if (!opened.ok) throw new PolicyFileError(what, opened.problems);
  return { ...opened, ...found };
}

/** Rejects with PolicyFileError where there is none, or where it is not what was signed; and as `stored` does. */
export async function findStored(what: string, stored: StoredRecords, keys = new KeyAdmission()): Promise<FoundPolicy> {
  if (POLICY_HASH_RULE.test(what)) return { bytes: await bytesOf(what, what, stored), name: what.slice(0, 16) };
  const document = POLICY_NAME_RULE.test(what) ? await stored.policy(what) : undefined;
  if (document === undefined) throw refusal(what, "is neither a file nor the name or SHA-256 of a stored policy");
  const opened = openStoredPolicy(what, document, keys);
  if (!opened.ok) throw refusal(what, `is stored, and fails verification: ${opened.reason}: ${opened.detail}`);
  return { bytes: await bytesOf(what, opened.signed.record.hash, stored), name: what, signed: opened.signed };
}

async function bytesOf(what: string, hash: string, stored: StoredRecords): Promise<Uint8Array> {
  const bytes = await stored.policyBytes(hash);
  if (bytes === undefined) throw refusal(what, `has no bytes in the cluster under sha256 ${hash}`);
  if (policyHash(bytes) !== hash) throw refusal(what, `has other bytes in the cluster than those of sha256 ${hash}`);
  return bytes;
}

async function fileAt(path: string): Promise<FoundPolicy> {
  try {
    return { bytes: await readFile(path), name: basename(path, ".wasm") };
  } catch (error) {
    throw new PolicyFileError(path, [{ path: "", message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` }]);
  }
}

function refusal(what: string, message: string): PolicyFileError {
  return new PolicyFileError(what, [{ path: what, message }]);
}

/** As loadPolicy; a module must also start, and answer a batch of no candidates. */
export async function checkPolicy(path: string): Promise<LoadedPolicy> {
  const loaded = await loadPolicy(path);
  const evaluator: Evaluator = loaded.evaluator;
  try {
    await evaluator.evaluate({ table: new CandidateTable([]), job: undefined, prior: new Uint8Array() });
    return loaded;
  } catch (error) {
    if (!(error instanceof WasmPolicyError)) throw error;
    throw new PolicyFileError(path, [{ path: "", message: `gives no verdicts (${error.fault}): ${error.detail}` }]);
  } finally {
    await evaluator.close?.();
  }
}
