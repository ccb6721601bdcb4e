import { StateCommand } from "../reading/state-command.js";
import { readOwnIdentity } from "../reading/state-folder.js";
import { identityDocument, type IdentityDocument, identityText } from "../views/identity.js";

export default class IdentityShow extends StateCommand {
  static override summary = "Show this node's key, its fingerprints, epoch and pins.";
  static override description = "Reads the sidecar's state folder, whether the sidecar runs or not. The private key is never shown.";
  static override examples = ["<%= config.bin %> identity show", "<%= config.bin %> identity show --json"];

  override async run(): Promise<IdentityDocument> {
    const { flags } = await this.parse(IdentityShow);
    const document = identityDocument(readOwnIdentity(this.folderOf(flags)));
    this.log(identityText(document));
    return document;
  }
}
