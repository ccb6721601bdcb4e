import { Args } from "@oclif/core";
import { liveFlags, withLiveDecision } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { rankingDocument, rankingTable } from "../views/ranking.js";

export default class PolicyRank extends PlainCommand {
  static override summary = "Rank the nodes by a policy, with the reasons, and place nothing.";
  static override description = "Records are verified here. A term stands with its value and what it scores; an excluded node with every rule that it breaks.\n\nExit codes: 0; 1 error, or the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> nomad/policies/balanced.json", "<%= config.bin %> <%= command.id %> policy.json --consul --json"];
  static override args = { file: Args.string({ name: "FILE", description: "The policy file, or module.", required: true }) };
  static override flags = liveFlags;

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PolicyRank);
    return withLiveDecision(args.file, flags, (decision) => {
      this.log(rankingTable(decision, { columns: process.stdout.isTTY ? process.stdout.columns : Infinity, color: false }));
      return rankingDocument(decision);
    });
  }
}
