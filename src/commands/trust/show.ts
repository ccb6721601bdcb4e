import { Args, Flags } from "@oclif/core";
import { openAllowList } from "../../beacon/allow-list.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { readAllowListDocument, readPin } from "../../sidecar/trust-records.js";
import { readingFlags, trustFlags } from "../reading/flags.js";
import { selectNodes } from "../reading/select-nodes.js";
import { openConsul, openSource } from "../reading/source.js";
import { TrustCommand } from "../reading/trust-command.js";
import { type TrustRecords, trustShow, type TrustShowDocument, trustShowDocument } from "../views/trust-list.js";

export default class TrustShow extends TrustCommand {
  static override summary = "Show one node: its trust state and what to do, its key, its pin in KV and what the allow-list says of it.";
  static override examples = ["<%= config.bin %> <%= command.id %> node-3", "<%= config.bin %> <%= command.id %> node-3 --consul --json"];
  static override args = {
    node: Args.string({ name: "NODE", required: true, description: "Name, node ID or beacon ID (four characters of an ID are enough)." }),
  };
  static override flags = {
    "grpc-addr": readingFlags["grpc-addr"],
    "tls-ca": readingFlags["tls-ca"],
    "tls-cert": readingFlags["tls-cert"],
    "tls-key": readingFlags["tls-key"],
    "tls-server-name": readingFlags["tls-server-name"],
    consul: Flags.boolean({ summary: "Judge here, from Consul, instead of asking a sidecar for its verdict." }),
    datacenter: readingFlags.datacenter,
    ...trustFlags,
  };

  async run(): Promise<TrustShowDocument> {
    const { args, flags } = await this.parse(TrustShow);
    const source = await openSource(flags, process.env);
    try {
      const nodes = await source.read(new AbortController().signal, () => {});
      const [view] = selectNodes(nodes, [args.node]);
      if (view === undefined) throw new Error("a node that was selected is not there");
      const records = await this.#records(view.name, view.datacenter);
      this.log(trustShow(view, records));
      return trustShowDocument(view, records);
    } finally {
      source.close();
    }
  }

  /** Consul may be out of reach where a sidecar is not: then that is what is said. */
  async #records(node: string, datacenter: string): Promise<TrustRecords> {
    const { consul } = await openConsul(process.env, datacenter);
    const problem = (error: unknown): { problem: string } => ({ problem: error instanceof Error ? error.message : String(error) });
    try {
      const [pin, list] = await Promise.all([
        readPin(consul, datacenter, node).then((stored) => ({ publicKey: stored?.pin?.publicKey ?? null }), problem),
        readAllowListDocument(consul, datacenter).then((stored) => (stored === null ? null : listed(stored.document, datacenter, node)), problem),
      ]);
      return { pin, list };
    } finally {
      consul.close();
    }
  }
}

function listed(document: Uint8Array, datacenter: string, node: string): TrustRecords["list"] {
  const opened = openAllowList(document, datacenter, new KeyAdmission());
  if (!opened.ok) return { problem: `${opened.reason}: ${opened.detail}` };
  const { record, key } = opened.signed;
  return { serial: record.serial, signedBy: key.hex, publicKey: record.nodes.find((each) => each.node === node)?.publicKey ?? null };
}
