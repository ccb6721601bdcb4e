import { StateCommand } from "../reading/state-command.js";
import { readOwnIdentity } from "../reading/state-folder.js";
import { type KeyForms, keyForms } from "../views/identity.js";

export default class IdentityExport extends StateCommand {
  static override summary = "Print this node's public key: PEM, or every form of it with --json.";
  static override description = "For an allow-list, or to compare keys out of band. The private key is never exported.";
  static override examples = ["<%= config.bin %> identity export > node-1.pub.pem", "<%= config.bin %> identity export --json"];

  override async run(): Promise<KeyForms & { schemaVersion: 1 }> {
    const { flags } = await this.parse(IdentityExport);
    const forms = keyForms(readOwnIdentity(this.folderOf(flags)).publicKey);
    this.log(forms.pem.trimEnd());
    return { schemaVersion: 1, ...forms };
  }
}
