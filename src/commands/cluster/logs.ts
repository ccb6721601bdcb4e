import { Flags } from "@oclif/core";
import { once } from "node:events";
import type { LogsRequest } from "../../sidecar/api/workload-client.js";
import { WorkloadCommand } from "../workloads/workload-command.js";

interface LogsDocument {
  schemaVersion: 1;
  id: string;
  stdout: string;
  stderr: string;
}

export default class ClusterLogs extends WorkloadCommand {
  static override summary = "Print what a workload that was placed here writes.";
  static override description =
    "Its stdout goes to stdout and its stderr to stderr, byte for byte. At most the last 256 KiB of each.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> --id ibrl-1f2e3d4c5b6a79880011 -f", "<%= config.bin %> <%= command.id %> --id 3f2a9c11 --stream stderr"];
  static override flags = {
    id: Flags.string({ summary: "Of the workload, or of its allocation (eight characters are enough).", required: true, helpValue: "ID" }),
    follow: Flags.boolean({ char: "f", summary: "Go on until the workload ends, or Ctrl-C." }),
    task: Flags.string({ summary: "Which task, where there are several. Default: the first.", helpValue: "NAME" }),
    stream: Flags.option({ summary: "Only this one.", options: ["stdout", "stderr"] as const })(),
  };

  async run(): Promise<LogsDocument | undefined> {
    const { flags } = await this.parse(ClusterLogs);
    const request: LogsRequest = { id: flags.id, task: flags.task ?? "", stream: flags.stream ?? "" };
    if (flags.follow) return this.#follow(flags, request);
    const { stdout = "", stderr = "" } = await this.call(flags, (client, timeoutMs) => client.logs(request, timeoutMs));
    if (!this.jsonEnabled()) {
      process.stdout.write(stdout ?? "");
      process.stderr.write(stderr ?? "");
    }
    return { schemaVersion: 1, id: flags.id, stdout: stdout ?? "", stderr: stderr ?? "" };
  }

  /** A pipe that is full stops the reading, and so the sidecar and Nomad. */
  async #follow(flags: Parameters<WorkloadCommand["call"]>[0], request: LogsRequest): Promise<undefined> {
    const ending = new AbortController();
    const end = (): void => ending.abort();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
    process.stdout.once("error", end); // `logs -f | head`: nobody reads any more
    try {
      await this.call(flags, async (client) => {
        for await (const { stream, data } of client.follow(request, ending.signal)) {
          const to = stream === "stderr" ? process.stderr : process.stdout;
          if (!to.write(data ?? "")) await once(to, "drain", { signal: ending.signal }).catch(() => {});
        }
      });
    } finally {
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, end);
      process.stdout.off("error", end);
    }
  }
}
