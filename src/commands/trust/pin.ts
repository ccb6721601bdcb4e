import { Args, Flags } from "@oclif/core";
import type { Pin } from "../../beacon/pins.js";
import { putPin } from "../../sidecar/trust-records.js";
import { consulFlags, nodeName, stateDirFlag, TrustCommand, wholeKey } from "../reading/trust-command.js";
import { pinFolder, setPinIn } from "../reading/trust-files.js";
import { pinChange, type PinChangeDocument } from "../views/pin-change.js";

export default class TrustPin extends TrustCommand {
  static override summary = "Pin a key to a node, in KV and on this host: before the node's first start, or after it got a new key.";
  static override description = "A sidecar that has seen another pin does not follow KV: run this with --only-here on its host. The node's own log line `sidecar ready` and `cluster metrics --json` have the key.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> node-3 817f01133a197f3304801662e6f3ac0d22e77de3ed008f792568a5a96d7476cc",
    "<%= config.bin %> <%= command.id %> node-3 817f01133a197f3304801662e6f3ac0d22e77de3ed008f792568a5a96d7476cc --replace",
  ];
  static override args = {
    node: Args.string({ name: "NODE", required: true, description: "Consul node name." }),
    key: Args.string({ name: "KEY", required: true, description: "The whole public key, 64 hex digits." }),
  };
  static override flags = {
    replace: Flags.boolean({ summary: "Also where another key is pinned." }),
    "only-here": Flags.boolean({ summary: "Leave KV alone: edit the pins of the sidecar on this host only." }),
    "state-dir": stateDirFlag,
    ...consulFlags,
  };

  async run(): Promise<PinChangeDocument> {
    const { args, flags } = await this.parse(TrustPin);
    const [node, publicKey] = [nodeName(args.node), wholeKey(args.key)];
    const folder = pinFolder(flags["state-dir"]);
    const document = await this.withConsul(flags.datacenter, async (consul, datacenter): Promise<PinChangeDocument> => {
      const pin: Pin = { node, datacenter, publicKey, origin: "cluster" };
      const kv = flags["only-here"] ? null : { before: null, ...(await putPin(consul, pin, flags.replace)) };
      const before = setPinIn(folder, pin, pin) ?? null;
      return { schemaVersion: 1, node, datacenter, publicKey, kv, host: folder.isThere ? { folder: folder.path, before } : null };
    });
    this.log(pinChange(document, folder));
    return document;
  }
}
