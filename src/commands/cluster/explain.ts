import { Args } from "@oclif/core";
import { findDecision, withReplay } from "../reading/kept-decision.js";
import { sourceFlags } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { openSource } from "../reading/source.js";
import { keptDecisionDocument, keptDecisionText } from "../views/kept-decision.js";

export default class ClusterExplain extends PlainCommand {
  static override summary = "Explain a decision: every rule with value and limit, every score term, the order, and from which records.";
  static override description =
    "The record is verified here: its signature, its ID, and whose key signed. It is then worked out again from its own facts and " +
    "policies, which must come to the same bytes; --json carries the document that `policy replay` takes.\n\n" +
    "Exit codes: 0; 1 error, or the decision is not there, fails verification or replays to other bytes; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> 3f2a6c0e91d84b7795e0c1a2b3d4e5f6", "<%= config.bin %> <%= command.id %> ibrl-82f3e9c695dc6b8d1b11", "<%= config.bin %> <%= command.id %> 3f2a6c0e91d84b7795e0c1a2b3d4e5f6 --consul --json"];
  static override args = { decision: Args.string({ name: "DECISION", description: "Its ID, or a workload that runs by it.", required: true }) };
  static override flags = sourceFlags;

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ClusterExplain);
    const source = await openSource(flags, process.env);
    try {
      const nodes = await source.read(new AbortController().signal, () => {});
      const kept = await findDecision(args.decision, source.stored, nodes);
      const signer = nodes.find(({ name }) => name === kept.signed.record.node);
      return await withReplay(kept.signed.record, (hash) => source.stored.policyBytes(hash), (replayed) => {
        this.log(keptDecisionText(kept, replayed, signer));
        if (replayed.ok && !replayed.same) process.exitCode = 1;
        return keptDecisionDocument(kept, replayed, signer);
      });
    } finally {
      source.close();
    }
  }
}
