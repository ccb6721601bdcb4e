import { writeFile } from "node:fs/promises";
import { Flags } from "@oclif/core";
import { exportOf } from "../../beacon/reputation-document.js";
import { PlainCommand } from "../reading/plain-command.js";
import { readRecords, sourceFlags } from "../reading/records.js";

export default class TrustExport extends PlainCommand {
  static override summary = "Write the signed records of the believed nodes to a file, for `trust recompute` on another machine.";
  static override description =
    "The file holds each record as its node signed it, and the name and datacenter that it speaks for. It holds no secret.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> -o records.json", "<%= config.bin %> <%= command.id %> --consul --datacenter dc2"];
  static override enableJsonFlag = false; // what it writes is JSON
  static override flags = {
    ...sourceFlags,
    output: Flags.string({ char: "o", summary: "File to write. Default: standard output.", helpValue: "FILE" }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(TrustExport);
    const { datacenter, readAtMs, servedSha256, ...believed } = await readRecords(flags, process.env);
    const text = `${JSON.stringify(exportOf(believed, { datacenter, readAtMs, servedSha256 }), undefined, 1)}\n`;
    if (flags.output === undefined) process.stdout.write(text);
    else {
      await writeFile(flags.output, text);
      this.log(`${String(believed.states.length)} records in ${flags.output}`);
    }
  }
}
