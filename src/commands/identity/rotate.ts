import { StateCommand } from "../reading/state-command.js";
import { prepareRotation } from "../reading/state-folder.js";
import { type KeyForms, keyForms } from "../views/identity.js";

export default class IdentityRotate extends StateCommand {
  static override summary = "Give this node a new key, which the old key vouches for.";
  static override description =
    "Puts the new key beside the old one in the state folder. The sidecar signs the rotation with both keys, publishes it in Consul's KV, and only then speaks by the new key: " +
    "a running sidecar at its next beat, a stopped one at its next start. Peers follow by themselves, and reputation carries over. Safe to run again: a prepared key is kept. docs/identity.md has it step by step.";
  static override examples = ["<%= config.bin %> identity rotate", "<%= config.bin %> identity rotate --state-dir /var/lib/hypercore-ibrl"];

  override async run(): Promise<KeyForms & { schemaVersion: 1; created: boolean }> {
    const { flags } = await this.parse(IdentityRotate);
    const { publicKey, created } = prepareRotation(this.folderOf(flags));
    const forms = keyForms(publicKey);
    this.log(`${created ? "Prepared" : "Prepared before"}: ${forms.beaconId} (${forms.fingerprint})`);
    this.log("A running sidecar changes to it at its next beat, a stopped one at its next start; `identity show` tells.");
    return { schemaVersion: 1, ...forms, created };
  }
}
