/** Policy files of the command line: read, and refused with everything that is wrong with them. */
import { readFile } from "node:fs/promises";
import { type PolicyFile, readPolicy } from "../../policy/policy-file.js";
import type { Problem } from "../../policy/read-fields.js";
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

/** Rejects with PolicyFileError. */
export async function loadPolicyFile(path: string): Promise<PolicyFile> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new PolicyFileError(path, [{ path: "", message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` }]);
  }
  const read = readPolicy(bytes);
  if (!read.ok) throw new PolicyFileError(path, read.problems);
  return read.file;
}
