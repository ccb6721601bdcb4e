import { Args } from "@oclif/core";
import { problemText } from "../../policy/wording.js";
import { PlainCommand } from "../reading/plain-command.js";
import { checkPolicy } from "../reading/policy-source.js";
import { printable } from "../views/printable.js";

export default class PolicyCheck extends PlainCommand {
  static override summary = "Check a policy file or WebAssembly module, without a cluster.";
  static override description =
    "Every wrong field, type and range is named with its path and what would be right. A file without `version` is one of the first " +
    "IBRL cluster, whose unknown fields are warned about on stderr; version 2 is strict. docs/policy.md lists the fields. " +
    "A module must be one that may run, and answer an empty batch (docs/policy-wasm.md).\n\n" +
    "Exit codes: 0; 1 the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> policy.json", "<%= config.bin %> <%= command.id %> nomad/policies/low-latency.json --json"];
  static override args = { file: Args.string({ name: "FILE", description: "The policy file, or module.", required: true }) };

  async run(): Promise<unknown> {
    const { args } = await this.parse(PolicyCheck);
    const { evaluator, warnings } = await checkPolicy(args.file);
    const { name, mode, hash } = evaluator.identity;
    const kind = "profile" in evaluator ? { version: null, profile: evaluator.profile } : { version: evaluator.policy.version, profile: null };
    this.log(`${printable(name)}: ${kind.version === null ? `module, profile ${kind.profile}` : `version ${String(kind.version)}`}, ${mode}, sha256 ${hash}`);
    for (const warning of warnings) this.logToStderr(`warning: ${printable(problemText(warning))}`);
    return { schemaVersion: 1, name, ...kind, mode, sha256: hash, warnings };
  }
}
