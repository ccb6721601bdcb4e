import { Args, Flags } from "@oclif/core";
import { policyHash } from "../../policy/stored-policy.js";
import { callerFlags, callerHeaders } from "../reading/caller-flags.js";
import { recordDecision } from "../reading/asked-decision.js";
import { withReplay } from "../reading/kept-decision.js";
import { liveFlags, withLiveDecision } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { keptDecisionDocument, keptDecisionText } from "../views/kept-decision.js";
import { rankingDocument, rankingTable } from "../views/ranking.js";

export default class PolicyRank extends PlainCommand {
  static override summary = "Rank the nodes by a policy, with the reasons, and place nothing.";
  static override description =
    "Records are verified here. A term stands with its value and what it scores; an excluded node with every rule that it breaks. " +
    "With --record the sidecar decides, by the cluster's policy too where it has one, and signs and keeps the decision for " +
    "`cluster explain`; that is for callers whom it knows (docs/ports.md).\n\nExit codes: 0; 1 error, or the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> nomad/policies/balanced.json", "<%= config.bin %> <%= command.id %> policy.json --consul --json", "<%= config.bin %> <%= command.id %> policy.json --record"];
  static override args = { policy: Args.string({ name: "POLICY", description: "A file or module, or the name or SHA-256 of a stored policy.", required: true }) };
  static override flags = {
    ...liveFlags,
    record: Flags.boolean({ summary: "Have the sidecar decide, sign and keep the decision.", exclusive: ["consul", "cluster-policy"] }),
    ...callerFlags,
  };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PolicyRank);
    const options = { columns: process.stdout.isTTY ? process.stdout.columns : Infinity, color: false };
    if (!flags.record) {
      return withLiveDecision(args.policy, flags, (decision) => {
        this.log(rankingTable(decision, options));
        return rankingDocument(decision);
      });
    }
    const { kept, policy } = await recordDecision(args.policy, flags, callerHeaders(flags, process.env));
    return withReplay(kept.signed.record, async (hash) => (hash === policyHash(policy.bytes) ? policy.bytes : undefined), (replayed) => {
      this.log(replayed.ok ? rankingTable(replayed.decision, options) : keptDecisionText(kept, replayed, undefined));
      this.log(`\nKept as decision ${kept.id}`);
      return keptDecisionDocument(kept, replayed, undefined);
    });
  }
}
