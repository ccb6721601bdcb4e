import { readFile } from "node:fs/promises";
import { Args, Flags } from "@oclif/core";
import { policyHash } from "../../policy/stored-policy.js";
import { decisionInFile, withReplay } from "../reading/kept-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { UsageError } from "../reading/usage-error.js";
import { keptDecisionDocument, keptDecisionText } from "../views/kept-decision.js";

export default class PolicyReplay extends PlainCommand {
  static override summary = "Work a decision out again, offline, and compare the bytes.";
  static override description =
    "FILE is what lies in Consul's KV under ibrl/v1/decisions/, or what `cluster explain --json` prints. Nothing is asked: whose key " +
    "signed is for you to compare.\n\nExit codes: 0 the same bytes; 1 other bytes, or it fails verification or cannot be replayed; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> decision.json", "consul kv get ibrl/v1/decisions/3f2a6c0e91d84b7795e0c1a2b3d4e5f6 > decision.json"];
  static override args = { file: Args.string({ name: "FILE", description: "The decision.", required: true }) };
  static override flags = {
    module: Flags.string({ summary: "A WebAssembly module of the decision, which the record has by its hash only. Repeatable.", helpValue: "FILE", multiple: true, multipleNonGreedy: true }),
  };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PolicyReplay);
    const modules = new Map<string, Uint8Array>();
    for (const path of flags.module ?? []) {
      const bytes = await moduleAt(path);
      modules.set(policyHash(bytes), bytes);
    }
    const kept = await decisionInFile(args.file);
    return withReplay(kept.signed.record, async (hash) => modules.get(hash), (replayed) => {
      this.log(keptDecisionText(kept, replayed, undefined));
      if (!replayed.ok || !replayed.same) process.exitCode = 1;
      return keptDecisionDocument(kept, replayed, undefined);
    });
  }
}

async function moduleAt(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UsageError(`--module ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
