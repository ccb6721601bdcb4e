import { KeyAdmission } from "../../beacon/keys.js";
import { keptProofs } from "../reading/kept-proofs.js";
import { StateCommand } from "../reading/state-command.js";
import { proofListDocument, type ProofListDocument, proofListText } from "../views/proofs.js";

export default class ProofList extends StateCommand {
  static override summary = "List the proofs of what ran on this node, as its sidecar keeps them.";
  static override description = "Reads the sidecar's state folder, whether the sidecar runs or not. docs/proofs.md says what is kept, and for how long.\n\nExit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %>", "<%= config.bin %> <%= command.id %> --json"];

  override async run(): Promise<ProofListDocument> {
    const { flags } = await this.parse(ProofList);
    const document = proofListDocument(keptProofs(this.folderOf(flags), new KeyAdmission()));
    this.log(proofListText(document));
    return document;
  }
}
