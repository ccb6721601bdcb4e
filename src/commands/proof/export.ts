import { writeFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { proofFileText } from "../../beacon/proof-file.js";
import { exportProofs } from "../reading/kept-proofs.js";
import { StateCommand } from "../reading/state-command.js";

export default class ProofExport extends StateCommand {
  static override summary = "Write the proofs of a workload that ran on this node to a file, for `proof verify` anywhere.";
  static override description =
    "The file has the chain of each of its allocations as it was signed, the beacons and the decision that it names, the rotations of the node's key, and where the chain stands " +
    "under the node's published root. It holds no secret: of the job, only a hash.\n\nExit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> ibrl-0123456789abcdef0123 -o proof.json"];
  static override enableJsonFlag = false; // what it writes is JSON
  static override args = { workload: Args.string({ name: "WORKLOAD", description: "Nomad job ID, or allocation ID (eight characters are enough).", required: true }) };
  static override flags = { output: Flags.string({ char: "o", summary: "File to write. Default: standard output.", helpValue: "FILE" }) };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ProofExport);
    const { file, found } = exportProofs(this.folderOf(flags), args.workload, new KeyAdmission());
    const text = proofFileText(file);
    if (flags.output === undefined) process.stdout.write(text);
    else {
      await writeFile(flags.output, text);
      this.log(`${String(found.length)} ${found.length === 1 ? "chain" : "chains"} in ${flags.output}`);
    }
  }
}
