import { KeyAdmission } from "../../beacon/keys.js";
import { isBelieved } from "../../beacon/node-view.js";
import { openStoredPolicy } from "../../policy/stored-policy.js";
import { sourceFlags } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { openSource } from "../reading/source.js";
import { type ListedPolicy, listedPolicyDocument, policyTable } from "../views/stored-policies.js";

export default class PolicyList extends PlainCommand {
  static override summary = "List the policies that are stored in the cluster, and who put them there.";
  static override description =
    "Each record is verified here. SIGNED BY is the node whose believed key signed; a key of none, and a record that fails verification, are shown as such.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %>", "<%= config.bin %> <%= command.id %> --consul --json"];
  static override flags = sourceFlags;

  async run(): Promise<object> {
    const { flags } = await this.parse(PolicyList);
    const source = await openSource(flags, process.env);
    try {
      const [documents, nodes] = await Promise.all([source.stored.policies(), source.read(new AbortController().signal, () => {})]);
      const believed = new Map(nodes.flatMap(({ name, trust, beacon }) => (isBelieved(trust) && beacon !== undefined ? [[beacon.key.hex, name] as const] : [])));
      const keys = new KeyAdmission();
      const policies = documents.map(({ name, value }): ListedPolicy => {
        const opened = openStoredPolicy(name, value, keys);
        return { name, opened, node: opened.ok ? believed.get(opened.signed.key.hex) : undefined };
      });
      this.log(policyTable(policies, { columns: process.stdout.isTTY ? process.stdout.columns : Infinity, color: false }));
      return { schemaVersion: 1, policies: policies.map(listedPolicyDocument) };
    } finally {
      source.close();
    }
  }
}
