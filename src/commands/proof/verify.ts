import { readFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { verifyProofFile } from "../../beacon/proof-file.js";
import { isMerged, verifyMerged } from "../../beacon/proof-merge.js";
import { decisionOpener } from "../../policy/proved-decision.js";
import { EXIT } from "../reading/failure.js";
import { PlainCommand } from "../reading/plain-command.js";
import { readTrustedKeys } from "../reading/trusted-keys.js";
import { UsageError } from "../reading/usage-error.js";
import { verifiedMergedDocument, type VerifiedMergedDocument, verifiedMergedText } from "../views/merged-proofs.js";
import { verifiedDocument } from "../views/proofs.js";

const NO_ROOT = { ok: false, step: "aggregate", detail: "the file is not one of `proof merge` or `proof extract`: it stands under no root" } as const;

export default class ProofVerify extends PlainCommand {
  static override summary = "Verify a file of `proof export`, `proof merge` or `proof extract` with pinned keys, without a network.";
  static override description =
    "Says what the file proves and what it does not; or the first thing that is wrong, with the position of the entry. A key that the " +
    "node had before or after a given one counts where both keys signed the rotation, and only in its own epochs. " +
    "Of a merged file every allocation is verified, and that all of them are under its root; of an extracted one, that it is.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage; 3 the file does not verify.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> proof.json --trust node-1.pub.pem",
    "<%= config.bin %> <%= command.id %> one.json --trust node-1.pub.pem --root 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  ];
  static override args = { file: Args.string({ name: "FILE", description: "What `proof export`, `proof merge` or `proof extract` wrote.", required: true }) };
  static override flags = {
    trust: Flags.string({ summary: "Public key of the node that you hold for true: 64 hex digits, or a file with such keys or PEM (`identity export`).", helpValue: "KEYS", multiple: true, required: true }),
    root: Flags.string({ summary: "The root that you hold of a merged or extracted file: 64 hex digits.", helpValue: "ROOT" }),
  };

  async run(): Promise<VerifiedMergedDocument> {
    const { args, flags } = await this.parse(ProofVerify);
    const [keys, trusted, root] = [new KeyAdmission(), readTrustedKeys(flags.trust), flags.root?.toLowerCase()];
    if (root !== undefined && !/^[0-9a-f]{64}$/.test(root)) throw new UsageError("--root takes 64 hex digits, as `proof merge` prints them");
    const text = await readFile(args.file, "utf8");
    const document = isMerged(text)
      ? verifiedMergedDocument(verifyMerged(text, root, trusted, keys, decisionOpener(keys)), trusted, root !== undefined)
      : { ...verifiedDocument(root === undefined ? verifyProofFile(text, trusted, keys, decisionOpener(keys)) : NO_ROOT, trusted), aggregate: null };
    this.log(verifiedMergedText(document));
    if (!document.verified) process.exitCode = EXIT.verification;
    return document;
  }
}
