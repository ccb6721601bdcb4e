import { writeFile } from "node:fs/promises";
import { Flags } from "@oclif/core";
import { sourceFlags } from "../reading/records.js";
import { EXIT } from "../reading/failure.js";
import { PlainCommand } from "../reading/plain-command.js";
import { textOptions } from "../reading/reading-command.js";
import { openSource } from "../reading/source.js";
import { readTrustedKeys } from "../reading/trusted-keys.js";
import { UsageError } from "../reading/usage-error.js";
import { statementsInFile, statementsInFolder, statementsOf } from "../reading/usage-statements.js";
import { timeGiven } from "../reading/time-given.js";
import { safeJson } from "../views/printable.js";
import { type Dimension, DIMENSIONS, usageCsv, type UsageDocument, usageDocument, usageTable } from "../views/usage.js";

export default class ClusterUsage extends PlainCommand {
  static override summary = "What each node carried for its workloads, at its price, by signed counters of both ends.";
  static override description =
    "Bytes of IP packets, headers included, to (in) and from (out) a workload, by the kernel of its node; the amount is both together at the node's price of the time. CONFIRMED is what a peer " +
    "that the node has a link with counted too. No money moves. --json has every signed statement that the rows are from: keep it, and --from verifies and adds up again, without a network.\n\n" +
    "A cluster keeps its newest periods (24 in a small one); a node keeps a month in its state folder (--state-dir).\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a statement fails verification (it is left out, and named).";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> --by node,workload --since 24h",
    "<%= config.bin %> <%= command.id %> --since 2026-11-01 --until 2026-12-01 --csv -o november.csv",
    "<%= config.bin %> <%= command.id %> --json -o usage.json",
    "<%= config.bin %> <%= command.id %> --from usage.json --trust keys.txt --by node",
  ];
  static override flags = {
    ...sourceFlags,
    by: Flags.string({ summary: `Rows for each: ${DIMENSIONS.join(", ")}; some of them, with commas.`, default: "period,node,workload", helpValue: "LIST" }),
    since: Flags.string({ summary: "Periods that begin then or later: a time (2026-11-29, 2026-11-29T10:00Z) or how long ago (90m, 24h, 7d).", helpValue: "TIME" }),
    until: Flags.string({ summary: "Periods that begin before.", helpValue: "TIME" }),
    node: Flags.string({ summary: "Only this node's, by its name.", helpValue: "NAME" }),
    workload: Flags.string({ summary: "Only this one: a Nomad job ID, or an allocation ID (eight characters are enough). Repeatable.", helpValue: "ID", multiple: true, multipleNonGreedy: true }),
    csv: Flags.boolean({ summary: "Print CSV (RFC 4180), in bytes and US dollars.", exclusive: ["json"] }),
    output: Flags.string({ char: "o", summary: "Write to this file.", helpValue: "FILE" }),
    from: Flags.string({ summary: "Read a file that --json wrote instead of a cluster.", helpValue: "FILE", dependsOn: ["trust"], exclusive: ["consul"] }),
    "state-dir": Flags.string({ summary: "Read the state folder of the sidecar on this host instead of a cluster: its own statements, of a month.", helpValue: "FOLDER", exclusive: ["consul", "from", "node"] }),
    trust: Flags.string({ summary: "With --from: a node's public key, 64 hex digits, or a file of them. Repeatable.", helpValue: "KEYS", multiple: true, multipleNonGreedy: true, dependsOn: ["from"] }),
  };

  async run(): Promise<UsageDocument | undefined> {
    const { flags } = await this.parse(ClusterUsage);
    const by = dimensions(flags.by);
    const nowMs = Date.now();
    const query = { ...(flags.node === undefined ? {} : { node: flags.node }), fromMs: timeGiven("--since", flags.since, nowMs) ?? 0, toMs: timeGiven("--until", flags.until, nowMs) ?? 0 };
    const document = usageDocument(await this.#statements(flags, query), by, flags.workload ?? []);
    if (document.rejected.length > 0) process.exitCode = EXIT.verification;
    const text = this.jsonEnabled() ? safeJson(document, 2) : flags.csv ? usageCsv(document) : usageTable(document, textOptions());
    if (flags.output !== undefined) await writeFile(flags.output, `${text}${flags.csv ? "\r\n" : "\n"}`);
    else if (!this.jsonEnabled()) process.stdout.write(`${text}${flags.csv ? "\r\n" : "\n"}`);
    if (flags.csv || flags.output !== undefined) for (const { name, reason } of document.rejected) this.logToStderr(`not used: ${name}: ${reason}`);
    return flags.output === undefined ? document : undefined;
  }

  async #statements(flags: UsageFlags & Parameters<typeof openSource>[0], query: Parameters<typeof statementsOf>[1]) {
    if (flags["state-dir"] !== undefined) return statementsInFolder(flags["state-dir"], query);
    if (flags.from !== undefined) return statementsInFile(flags.from, readTrustedKeys(flags.trust ?? []), query);
    const source = await openSource(flags, process.env);
    try {
      return await statementsOf(source, query);
    } finally {
      source.close();
    }
  }
}

interface UsageFlags {
  from?: string | undefined;
  trust?: string[] | undefined;
  "state-dir"?: string | undefined;
}

function dimensions(text: string): Dimension[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !DIMENSIONS.some((dimension) => dimension === name));
  if (unknown !== undefined) throw new UsageError(`--by: ${JSON.stringify(unknown)} is none of ${DIMENSIONS.join(", ")}`);
  return DIMENSIONS.filter((dimension) => names.includes(dimension));
}
