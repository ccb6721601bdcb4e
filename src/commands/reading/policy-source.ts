/** Policies of the command line, files and modules: read, and refused with everything that is wrong with them. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { CandidateTable } from "../../policy/candidate-table.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { openPolicy, type OpenedPolicy } from "../../policy/open-policy.js";
import type { Problem } from "../../policy/read-fields.js";
import { WasmPolicyError } from "../../policy/wasm-host.js";
import { problemText } from "../../policy/wording.js";
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

export type LoadedPolicy = Extract<OpenedPolicy, { ok: true }>;

/** A module has its file's name. Rejects with PolicyFileError. */
export async function loadPolicy(path: string): Promise<LoadedPolicy> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new PolicyFileError(path, [{ path: "", message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` }]);
  }
  const opened = openPolicy(bytes, basename(path, ".wasm"));
  if (!opened.ok) throw new PolicyFileError(path, opened.problems);
  return opened;
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
