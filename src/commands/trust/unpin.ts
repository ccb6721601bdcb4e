import { Args, Flags } from "@oclif/core";
import { deletePin, TrustError } from "../../sidecar/trust-records.js";
import { consulFlags, nodeName, stateDirFlag, TrustCommand } from "../reading/trust-command.js";
import { pinFolder, setPinIn } from "../reading/trust-files.js";
import { pinChange, type PinChangeDocument } from "../views/pin-change.js";

export default class TrustUnpin extends TrustCommand {
  static override summary = "Forget a node's key, in KV and on this host: the next key that speaks for the node is trusted on first use.";
  static override description = "For a node that is gone, or that lost its key. Other hosts keep what they have seen: run this with --only-here on each, or let an operator's allow-list settle the node everywhere at once.";
  static override examples = ["<%= config.bin %> <%= command.id %> node-3", "<%= config.bin %> <%= command.id %> node-3 --only-here"];
  static override args = { node: Args.string({ name: "NODE", required: true, description: "Consul node name." }) };
  static override flags = {
    "only-here": Flags.boolean({ summary: "Leave KV alone: edit the pins of the sidecar on this host only." }),
    "state-dir": stateDirFlag,
    ...consulFlags,
  };

  async run(): Promise<PinChangeDocument> {
    const { args, flags } = await this.parse(TrustUnpin);
    const node = nodeName(args.node);
    const folder = pinFolder(flags["state-dir"]);
    const document = await this.withConsul(flags.datacenter, async (consul, datacenter): Promise<PinChangeDocument> => {
      const stored = flags["only-here"] ? null : await deletePin(consul, datacenter, node);
      const before = setPinIn(folder, { node, datacenter }, undefined) ?? null;
      if (stored === null && before === null) throw new TrustError("not-pinned", `${node} is not pinned in ${flags["only-here"] ? "" : "KV or "}${folder.path}`);
      const kv: PinChangeDocument["kv"] = flags["only-here"] ? null : { change: stored === null ? "absent" : "removed", before: stored?.pin?.publicKey ?? null };
      return { schemaVersion: 1, node, datacenter, publicKey: null, kv, host: folder.isThere ? { folder: folder.path, before } : null };
    });
    this.log(pinChange(document, folder));
    return document;
  }
}
