import { writeFileSync } from "node:fs";
import { Args, Flags } from "@oclif/core";
import { policyHash } from "../../policy/stored-policy.js";
import { sourceFlags } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { findStored } from "../reading/policy-source.js";
import { openSource } from "../reading/source.js";
import { UsageError } from "../reading/usage-error.js";
import { storedPolicyDocument } from "../views/stored-policies.js";

export default class PolicyGet extends PlainCommand {
  static override summary = "Read a stored policy, by its name or its SHA-256.";
  static override description =
    "The bytes are checked against the hash, and the name against the signature of who put them there. A policy file goes to stdout, a module to --output.\n\n" +
    "Exit codes: 0; 1 error, or there is none, or it fails verification; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> low-latency", "<%= config.bin %> <%= command.id %> short-queue --output module.wasm"];
  static override args = { policy: Args.string({ name: "POLICY", description: "Its name or SHA-256.", required: true }) };
  static override flags = { ...sourceFlags, output: Flags.string({ summary: "Write the bytes to this file, which must not be there.", helpValue: "FILE" }) };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PolicyGet);
    const source = await openSource(flags, process.env);
    try {
      const { bytes, signed } = await findStored(args.policy, source.stored);
      const isModule = bytes[0] === 0;
      if (flags.output !== undefined) writeNew(flags.output, bytes);
      else if (isModule && !this.jsonEnabled()) throw new UsageError("it is a module: name a file for it with --output");
      else if (!this.jsonEnabled()) process.stdout.write(bytes);
      const base64 = Buffer.from(bytes).toString("base64");
      return { schemaVersion: 1, ...(signed === undefined ? { hash: policyHash(bytes), sizeBytes: bytes.length } : storedPolicyDocument(signed, undefined)), base64 };
    } finally {
      source.close();
    }
  }
}

function writeNew(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes, { flag: "wx" });
  } catch (error) {
    throw new UsageError(`--output ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
