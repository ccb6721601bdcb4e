import { Flags } from "@oclif/core";
import { FILTER_FIELDS } from "../reading/filter.js";
import { ReadingCommand } from "../reading/reading-command.js";
import { type MetricsDocument, metricsDocument } from "../views/documents.js";
import { listing } from "../views/listing.js";
import { table } from "../views/table.js";

export default class ClusterMetrics extends ReadingCommand {
  static override summary = "Show what the network of every node is worth, as signed by the node and verified here.";
  static override description =
    "Nodes without a usable beacon are shown too; why it is not usable is said on stderr. " +
    "In the table ~ is an estimate and - is unknown; columns that do not fit the terminal are left out.\n\n" +
    `Fields of --filter: ${FILTER_FIELDS.join(", ")}. An unknown value passes no comparison but FIELD=unknown.\n\n` +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a record fails verification under --strict.";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> --consul --datacenter dc2 --format table --sort latency",
    "<%= config.bin %> <%= command.id %> --filter 'latency<=20' --filter capability=vm --json",
    "<%= config.bin %> <%= command.id %> --watch --interval 2s --format table",
  ];
  static override flags = {
    format: Flags.option({
      summary: "How to print it; see also --json.",
      options: ["listing", "table"] as const,
      default: "listing",
    })(),
  };

  async run(): Promise<MetricsDocument | undefined> {
    const { flags } = await this.parse(ClusterMetrics);
    return this.present(flags, { text: flags.format === "table" ? table : listing, document: metricsDocument });
  }
}
