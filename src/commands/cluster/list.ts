import { FILTER_FIELDS } from "../reading/filter.js";
import { ReadingCommand } from "../reading/reading-command.js";
import { type ListDocument, listDocument } from "../views/documents.js";
import { workloadListing } from "../views/workload-listing.js";

export default class ClusterList extends ReadingCommand {
  static override summary = "List the nodes and the workloads that run on them.";
  static override description =
    "Workloads come from the node's signed state; a node that is not believed, or has no Nomad, shows them as unknown.\n\n" +
    `Fields of --filter: ${FILTER_FIELDS.join(", ")}. An unknown value passes no comparison but FIELD=unknown.\n\n` +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a record fails verification under --strict.";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> --node node-1 --json",
    "<%= config.bin %> <%= command.id %> --filter 'workloads>=1' --consul",
  ];

  async run(): Promise<ListDocument | undefined> {
    const { flags } = await this.parse(ClusterList);
    return this.present(flags, { text: (nodes) => workloadListing(nodes, Date.now()), document: listDocument });
  }
}
