import { Args } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { EXIT } from "../reading/failure.js";
import { StateCommand } from "../reading/state-command.js";
import { readEvidence } from "../reading/state-folder.js";
import { evidenceDocumentOf, type EvidenceDocument, evidenceText } from "../views/evidence.js";

export default class TrustEvidence extends StateCommand {
  static override summary = "Show the signed records that contradict each other, as this node's sidecar kept them, each verified again.";
  static override description =
    "Reads the sidecar's state folder, whether the sidecar runs or not. --json has the records as they were signed, for anybody to verify. " +
    "docs/identity.md says what each kind proves.\n\nExit codes: 0; 1 error; 2 bad usage; 3 there is evidence that does not verify.";
  static override examples = ["<%= config.bin %> <%= command.id %>", "<%= config.bin %> <%= command.id %> node-2 --json"];
  static override args = { node: Args.string({ name: "NODE", description: "Consul node name. Default: all." }) };

  override async run(): Promise<EvidenceDocument> {
    const { args, flags } = await this.parse(TrustEvidence);
    const kept = readEvidence(this.folderOf(flags)).filter(({ node }) => args.node === undefined || node === args.node);
    const document = evidenceDocumentOf(kept, new KeyAdmission());
    this.log(evidenceText(document));
    if (document.evidence.some(({ verified }) => !verified)) process.exitCode = EXIT.verification;
    return document;
  }
}
