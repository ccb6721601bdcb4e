import { readFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { DEFAULT_SKEW_MS } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { openExport, parseExport, reputationBytes } from "../../beacon/reputation-document.js";
import { reputationsFrom } from "../../beacon/reputation-views.js";
import { PlainCommand } from "../reading/plain-command.js";
import { EXIT } from "../reading/failure.js";
import { readRecords, sourceFlags, type ReadRecords } from "../reading/records.js";
import { type RecomputeDocument, recomputeDocument, recomputeLines } from "../views/recompute.js";

export default class TrustRecompute extends PlainCommand {
  static override summary = "Compute every node's reputation again from the signed records, and compare with what the sidecar computed.";
  static override description =
    "With FILE, from what `trust export` wrote, with no network; without, from a sidecar or with --consul. Every record is verified here. " +
    "The same records give the same bytes on any machine: --raw prints them, and their SHA-256 is what is compared. docs/reputation.md says how scores come about.\n\n" +
    "Exit codes: 0; 1 error, also a record that does not verify; 2 bad usage; 3 the sidecar computed something else from the same records.";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> records.json",
    "<%= config.bin %> <%= command.id %> records.json --raw | sha256sum",
  ];
  static override args = { file: Args.string({ name: "FILE", description: "What `trust export` wrote." }) };
  static override flags = {
    ...sourceFlags,
    raw: Flags.boolean({ summary: "Print the bytes that the SHA-256 is of, and nothing else.", exclusive: ["json"] }),
  };

  async run(): Promise<RecomputeDocument> {
    const { args, flags } = await this.parse(TrustRecompute);
    const { servedSha256, ...believed } = args.file === undefined ? await readRecords(flags, process.env) : await exported(args.file);
    const reputations = reputationsFrom(believed);
    const document = recomputeDocument(reputations, servedSha256);
    if (flags.raw) process.stdout.write(reputationBytes(reputations));
    else this.log(recomputeLines(document).join("\n"));
    if (document.sameAsServed === false) {
      this.logToStderr("the sidecar computed something else from the same records: it runs another version, or does not say what it computed");
      process.exitCode = EXIT.verification;
    }
    return document;
  }
}

async function exported(path: string): Promise<ReadRecords> {
  const records = parseExport(await readFile(path, "utf8"));
  const { datacenter, readAtMs, servedSha256 } = records;
  return { ...openExport(records, new KeyAdmission(), DEFAULT_SKEW_MS), datacenter, readAtMs, servedSha256: servedSha256 ?? undefined };
}
