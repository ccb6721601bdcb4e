import { Args } from "@oclif/core";
import { problemText } from "../../policy/wording.js";
import { PlainCommand } from "../reading/plain-command.js";
import { loadPolicyFile } from "../reading/policy-source.js";
import { printable } from "../views/printable.js";

export default class PolicyCheck extends PlainCommand {
  static override summary = "Check a policy file, without a cluster.";
  static override description =
    "Every wrong field, type and range is named with its path and what would be right. A file without `version` is one of the first " +
    "IBRL cluster, whose unknown fields are warned about on stderr; version 2 is strict. docs/policy.md lists the fields.\n\n" +
    "Exit codes: 0; 1 the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> policy.json", "<%= config.bin %> <%= command.id %> nomad/policies/low-latency.json --json"];
  static override args = { file: Args.string({ name: "FILE", description: "The policy file.", required: true }) };

  async run(): Promise<unknown> {
    const { args } = await this.parse(PolicyCheck);
    const { policy, hash, warnings } = await loadPolicyFile(args.file);
    this.log(`${printable(policy.name)}: version ${String(policy.version)}, ${policy.mode}, sha256 ${hash}`);
    for (const warning of warnings) this.logToStderr(`warning: ${printable(problemText(warning))}`);
    return { schemaVersion: 1, name: policy.name, version: policy.version, mode: policy.mode, sha256: hash, warnings };
  }
}
