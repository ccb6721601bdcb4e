import { FILTER_FIELDS } from "../reading/filter.js";
import { ReadingCommand } from "../reading/reading-command.js";
import { trustList, type TrustListDocument, trustListDocument } from "../views/trust-list.js";

export default class TrustList extends ReadingCommand {
  static override summary = "Show how the reader stands to every node, and why.";
  static override description =
    "Of a sidecar: its pins, its history and its mode. With --consul: what KV pins, or what an operator's list says. docs/trust.md explains the states.\n\n" +
    `Fields of --filter: ${FILTER_FIELDS.join(", ")}.\n\n` +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a node is not believed under --strict.";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> --filter trust=pin-conflict",
    "<%= config.bin %> <%= command.id %> --consul --trust-mode allow-list --operator-key operator.pem.pub --strict",
  ];

  async run(): Promise<TrustListDocument | undefined> {
    const { flags } = await this.parse(TrustList);
    return this.present(flags, { text: trustList, document: trustListDocument });
  }
}
