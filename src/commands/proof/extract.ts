import { readFile, writeFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { extractProof, mergedFileText } from "../../beacon/proof-merge.js";
import { PlainCommand } from "../reading/plain-command.js";
import { type MergedDocument, mergedDocument, mergedText } from "../views/merged-proofs.js";

export default class ProofExtract extends PlainCommand {
  static override summary = "Take the proof of one allocation out of a file of `proof merge`.";
  static override description =
    "The small file has the allocation's own proof and its way to the root of all: so many hashes as the logarithm of their number, whatever the others are. " +
    "`proof verify` verifies it, with --root against a root that you hold. Taking it out looks at its place under the root alone.\n\nExit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> merged.json 0a9b4c8d -o one.json"];
  static override args = {
    merged: Args.string({ name: "MERGED", description: "What `proof merge` wrote.", required: true }),
    allocation: Args.string({ name: "ALLOCATION", description: "Allocation ID; eight characters are enough.", required: true }),
  };
  static override flags = { output: Flags.string({ char: "o", summary: "File to write.", helpValue: "FILE", required: true }) };

  async run(): Promise<MergedDocument> {
    const { args, flags } = await this.parse(ProofExtract);
    const extracted = extractProof(await readFile(args.merged, "utf8"), args.allocation);
    await writeFile(flags.output, mergedFileText(extracted));
    const document = mergedDocument(extracted);
    this.log(mergedText(flags.output, document));
    return document;
  }
}
