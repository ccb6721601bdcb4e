import { readFile, writeFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { mergedFileText, mergeProofs } from "../../beacon/proof-merge.js";
import { decisionOpener } from "../../policy/proved-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { readTrustedKeys } from "../reading/trusted-keys.js";
import { type MergedDocument, mergedDocument, mergedText } from "../views/merged-proofs.js";

export default class ProofMerge extends PlainCommand {
  static override summary = "Put files of `proof export`, from any nodes, under one Merkle root.";
  static override description =
    "Each file is verified first, by the given keys. The result has every allocation once, in the order of their IDs, with its way to the root: " +
    "`proof extract` takes one out, and `proof verify` takes either. Whoever merges the same files, in whatever order, comes to the same root. Nobody signs " +
    "it: keep it, or hand it to whom is to check files against it.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a file does not verify.";
  static override examples = ["<%= config.bin %> <%= command.id %> node-1.json node-2.json --trust keys.txt -o merged.json"];
  static override strict = false;
  static override args = { files: Args.string({ name: "FILE", description: "What `proof export` wrote; any number of them.", required: true }) };
  static override flags = {
    trust: Flags.string({
      summary: "Public key of a node that you hold for true: 64 hex digits, or a file with such keys or PEM (`identity export`). Repeatable.", helpValue: "KEYS", multiple: true, multipleNonGreedy: true, required: true,
    }),
    output: Flags.string({ char: "o", summary: "File to write.", helpValue: "MERGED", required: true }),
  };

  async run(): Promise<MergedDocument> {
    const { argv, flags } = await this.parse(ProofMerge);
    const [keys, trusted] = [new KeyAdmission(), readTrustedKeys(flags.trust)];
    const inputs = await Promise.all((argv as string[]).map(async (name) => ({ name, text: await readFile(name, "utf8") })));
    const merged = mergeProofs(inputs, trusted, keys, decisionOpener(keys));
    await writeFile(flags.output, mergedFileText(merged));
    const document = mergedDocument(merged);
    this.log(mergedText(flags.output, document));
    return document;
  }
}
