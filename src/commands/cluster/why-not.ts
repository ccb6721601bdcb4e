import { Args, Flags } from "@oclif/core";
import type { Decision } from "../../policy/decide.js";
import { DECISION_ID_RULE } from "../../policy/decision-document.js";
import { whyNot, type WhyNot } from "../../policy/why-not.js";
import { DecisionError, findDecision, withReplay } from "../reading/kept-decision.js";
import { liveFlags, type SourceOptions, withLiveDecision } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { openSource } from "../reading/source.js";
import { UsageError } from "../reading/usage-error.js";
import { whyNotDocument, whyNotText } from "../views/ranking.js";

export default class ClusterWhyNot extends PlainCommand {
  static override summary = "Why a node is or was not the first, and what would have to change.";
  static override description =
    "By a policy as the cluster is now, or by a decision that was kept, as it was then. " +
    "Each value that would make the node first is found by evaluating the policies again, and is exact in the units of the records: " +
    "every other value as it is, and every broken rule just met.\n\nExit codes: 0; 1 error, or the file is wrong; 2 bad usage.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> node-3 --policy nomad/policies/low-latency.json",
    "<%= config.bin %> <%= command.id %> node-3 3f2a6c0e91d84b7795e0c1a2b3d4e5f6",
  ];
  static override args = {
    node: Args.string({ name: "NODE", description: "The Consul node.", required: true }),
    decision: Args.string({ name: "DECISION", description: "ID of a decision, or a workload that runs by one; without --policy." }),
  };
  static override flags = { ...liveFlags, policy: Flags.string({ summary: "The policy: a file, or the name or SHA-256 of a stored one.", helpValue: "FILE|NAME" }) };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ClusterWhyNot);
    const { policy } = flags;
    if ((args.decision === undefined) === (policy === undefined)) throw new UsageError("name a decision, or a policy with --policy");
    const ask = (decision: Decision) => whyNot(decision, args.node);
    const answer = policy === undefined ? await askKept(args.decision ?? "", flags, ask) : await withLiveDecision(policy, flags, ask);
    if (answer === undefined) throw new UsageError(`there is no node ${JSON.stringify(args.node)}`);
    this.log(whyNotText(answer));
    return whyNotDocument(answer);
  }
}

async function askKept(id: string, options: SourceOptions, ask: (decision: Decision) => Promise<WhyNot | undefined>): Promise<WhyNot | undefined> {
  const source = await openSource(options, process.env);
  try {
    const nodes = DECISION_ID_RULE.test(id) ? [] : await source.read(new AbortController().signal, () => {});
    const { signed } = await findDecision(id, source.stored, nodes);
    return await withReplay(signed.record, (hash) => source.stored.policyBytes(hash), (replayed) => {
      if (!replayed.ok) throw new DecisionError("decision-verification", `decision ${id} cannot be replayed: ${replayed.reason}`);
      if (!replayed.same) throw new DecisionError("decision-verification", `decision ${id} replays to other bytes: ${replayed.differences.join("; ")}`);
      return ask(replayed.decision);
    });
  } finally {
    source.close();
  }
}
