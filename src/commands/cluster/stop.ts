import { Flags } from "@oclif/core";
import { printable } from "../views/printable.js";
import { WorkloadCommand } from "../workloads/workload-command.js";

interface StopDocument {
  schemaVersion: 1;
  id: string;
  node: string;
  nodeId: string;
}

export default class ClusterStop extends WorkloadCommand {
  static override summary = "Stop a workload that was placed here.";
  static override description = "Exit codes: 0, also where it was stopped before; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> --id ibrl-1f2e3d4c5b6a79880011"];
  static override flags = {
    id: Flags.string({ summary: "Of the workload, or of its allocation (eight characters are enough).", required: true, helpValue: "ID" }),
  };

  async run(): Promise<StopDocument> {
    const { flags } = await this.parse(ClusterStop);
    const node = await this.call(flags, (client, timeoutMs) => client.stop(flags.id, timeoutMs));
    this.log(`stopped ${printable(flags.id)}${node.name ? ` on ${printable(node.name)}` : ""}`);
    return { schemaVersion: 1, id: flags.id, node: node.name ?? "", nodeId: node.id ?? "" };
  }
}
