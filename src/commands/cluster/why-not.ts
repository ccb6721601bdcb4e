import { Args, Flags } from "@oclif/core";
import { whyNot } from "../../policy/why-not.js";
import { liveFlags, withLiveDecision } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { UsageError } from "../reading/usage-error.js";
import { whyNotText } from "../views/ranking.js";

export default class ClusterWhyNot extends PlainCommand {
  static override summary = "Why a node is not the first by a policy, and what would have to change.";
  static override description =
    "Each value that would make it first is found by evaluating the policy again, and is exact in the units of the records: " +
    "every other value as it is, and every broken rule just met.\n\nExit codes: 0; 1 error, or the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> node-3 --policy nomad/policies/low-latency.json"];
  static override args = { node: Args.string({ name: "NODE", description: "The Consul node.", required: true }) };
  static override flags = { ...liveFlags, policy: Flags.string({ summary: "The policy file, or module.", helpValue: "FILE", required: true }) };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ClusterWhyNot);
    const answer = await withLiveDecision(flags.policy, flags, (decision) => whyNot(decision, args.node));
    if (answer === undefined) throw new UsageError(`there is no node ${JSON.stringify(args.node)}`);
    this.log(whyNotText(answer));
    return { schemaVersion: 1, ...answer };
  }
}
