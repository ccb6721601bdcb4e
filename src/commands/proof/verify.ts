import { readFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { verifyProofFile } from "../../beacon/proof-file.js";
import { decisionOpener } from "../../policy/proved-decision.js";
import { EXIT } from "../reading/failure.js";
import { PlainCommand } from "../reading/plain-command.js";
import { readTrustedKeys } from "../reading/trusted-keys.js";
import { verifiedDocument, type VerifiedDocument, verifiedText } from "../views/proofs.js";

export default class ProofVerify extends PlainCommand {
  static override summary = "Verify a file of `proof export` with pinned keys, without a network.";
  static override description =
    "Says what the file proves and what it does not; or the first thing that is wrong, with the position of the entry. A key that the " +
    "node had before or after a given one counts where both keys signed the rotation, and only in its own epochs.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage; 3 the file does not verify.";
  static override examples = ["<%= config.bin %> <%= command.id %> proof.json --trust node-1.pub.pem"];
  static override args = { file: Args.string({ name: "FILE", description: "What `proof export` wrote.", required: true }) };
  static override flags = {
    trust: Flags.string({ summary: "Public key of the node that you hold for true: 64 hex digits, or a file with such keys or PEM (`identity export`).", helpValue: "KEYS", multiple: true, required: true }),
  };

  async run(): Promise<VerifiedDocument> {
    const { args, flags } = await this.parse(ProofVerify);
    const [keys, trusted] = [new KeyAdmission(), readTrustedKeys(flags.trust)];
    const verdict = verifyProofFile(await readFile(args.file, "utf8"), trusted, keys, decisionOpener(keys));
    const document = verifiedDocument(verdict, trusted);
    this.log(verifiedText(document));
    if (!verdict.ok) process.exitCode = EXIT.verification;
    return document;
  }
}
