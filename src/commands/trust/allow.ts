import { Args, Flags } from "@oclif/core";
import { allowListKey } from "../../beacon/documents.js";
import { readPins } from "../../sidecar/catalog.js";
import { readOperatorKeys } from "../../sidecar/operator-keys.js";
import { putAllowListDocument, readAllowListDocument } from "../../sidecar/trust-records.js";
import { nodesToAllow, signAllowList } from "../reading/allow-list-signing.js";
import { consulFlags, nodeName, TrustCommand } from "../reading/trust-command.js";
import { createOperatorKey, readLastList, readOperatorKey, writeLastList } from "../reading/trust-files.js";
import { UsageError } from "../reading/usage-error.js";
import { type AllowDocument, allowDocument, allowListChange } from "../views/allow-list-change.js";

const DAY_MS = 86_400_000;

export default class TrustAllow extends TrustCommand {
  static override summary = "Edit the allow-list, sign it with the operator's key, and put it in KV.";
  static override description =
    "A node is allowed by the key that KV pins for it now; compare the beacon ID that is shown with the one in the node's log line `sidecar ready`, or give the whole key as NODE=KEY. " +
    "The list that was signed last is kept beside the key as FILE.list: a sidecar without a history takes it with --allow-list. docs/trust.md has the steps.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> --new-key --key-file operator.pem",
    "<%= config.bin %> <%= command.id %> --pinned --key-file operator.pem --dry-run",
    "<%= config.bin %> <%= command.id %> node-4 --remove node-2 --key-file operator.pem",
    "<%= config.bin %> <%= command.id %> --expires-days 90 --key-file operator.pem",
  ];
  static override strict = false;
  static override args = { nodes: Args.string({ name: "NODE[=KEY]", description: "Nodes to allow." }) };
  static override flags = {
    "key-file": Flags.string({ summary: "The operator's private key (PKCS #8 PEM, 0600).", required: true, helpValue: "FILE" }),
    "new-key": Flags.boolean({ summary: "Make that key, and FILE.pub with the public one, and end.", exclusive: ["pinned", "remove", "dry-run"] }),
    pinned: Flags.boolean({ summary: "Allow every node that KV pins now." }),
    remove: Flags.string({ summary: "Take this node off. Repeatable.", multiple: true, multipleNonGreedy: true, helpValue: "NODE" }),
    "expires-days": Flags.integer({ summary: "Days after which the list believes nobody, so that a forgotten one does not count for ever; 0: no end. Default: as before.", min: 0, max: 36_500 }),
    "operator-key": Flags.string({ summary: "Another operator whose list may stand in KV. Repeatable.", multiple: true, multipleNonGreedy: true, helpValue: "HEX|FILE" }),
    replace: Flags.boolean({ summary: "Put aside the list of an operator who is not named." }),
    "dry-run": Flags.boolean({ summary: "Show what would change, and write nothing." }),
    ...consulFlags,
  };

  async run(): Promise<AllowDocument | { schemaVersion: 1; operatorKey: string }> {
    const { argv, flags } = await this.parse(TrustAllow);
    const path = flags["key-file"];
    if (flags["new-key"]) return this.#newKey(path);
    const operator = readOperatorKey(path);
    const operatorKey = Buffer.from(operator.publicKey).toString("hex");
    const remove = (flags.remove ?? []).map(nodeName);
    const days = flags["expires-days"];
    if (argv.length === 0 && !flags.pinned && remove.length === 0 && days === undefined) throw new UsageError("nothing to do: name nodes, --pinned, --remove or --expires-days");
    return this.withConsul(flags.datacenter, async (consul, datacenter) => {
      const [stored, { pins }] = await Promise.all([readAllowListDocument(consul, datacenter, { consistency: "consistent" }), readPins(consul, datacenter, { consistency: "consistent" })]);
      const nowMs = Date.now();
      const signed = signAllowList({
        operator, datacenter, nowMs,
        others: readOperatorKeys(flags["operator-key"] ?? []),
        last: readLastList(path),
        inCluster: stored?.document ?? null,
        replace: flags.replace,
        edit: {
          add: nodesToAllow(argv as string[], flags.pinned, pins),
          remove,
          ...(days === undefined ? {} : { expiresAtMs: days === 0 ? null : nowMs + days * DAY_MS }),
        },
      });
      const written = flags["dry-run"] ? null : signed.document;
      if (written !== null) {
        await putAllowListDocument(consul, datacenter, written, stored?.modifyIndex ?? null);
        writeLastList(path, written);
      }
      const document = allowDocument(signed, operatorKey, written !== null, signed.warnings);
      for (const warning of signed.warnings) this.logToStderr(`warning: ${warning}`);
      this.log(allowListChange(document, `${allowListKey(datacenter)} and ${path}.list`));
      return document;
    });
  }

  #newKey(path: string): { schemaVersion: 1; operatorKey: string } {
    const operatorKey = Buffer.from(createOperatorKey(path).publicKey).toString("hex");
    this.log(`Operator key made: ${path} (keep it off the cluster), public key ${path}.pub:\n${operatorKey}\nSidecars take it with --operator-key; allow nodes first, then start them with --trust-mode allow-list.`);
    return { schemaVersion: 1, operatorKey };
  }
}
