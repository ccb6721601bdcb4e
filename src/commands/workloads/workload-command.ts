/** What `cluster spawn`, `stop` and `logs` share: the sidecar to ask, who asks, and the exit codes. */
import { readFileSync } from "node:fs";
import { Command, Flags, type Interfaces } from "@oclif/core";
import type { WorkloadClient } from "../../sidecar/api/workload-client.js";
import { failureOf } from "../reading/failure.js";
import { clientTlsFrom } from "../reading/client-tls-files.js";
import { hostPort, readingFlags, tlsFlags } from "../reading/flags.js";
import { UsageError } from "../reading/usage-error.js";
import { safeJson } from "../views/printable.js";

const workloadFlags = {
  "grpc-addr": readingFlags["grpc-addr"],
  ...tlsFlags,
  "api-token-file": Flags.string({
    summary: "File with the sidecar's bearer token: api.token of its state folder. A Nomad token comes from NOMAD_TOKEN.",
    env: "IBRL_API_TOKEN_FILE",
    helpValue: "FILE",
    helpGroup: "READING",
  }),
  timeout: Flags.integer({ summary: "Seconds to wait for the answer.", default: 60, min: 1, max: 3_600, helpGroup: "READING" }),
};
type WorkloadFlags = Interfaces.InferredFlags<typeof workloadFlags>;

export abstract class WorkloadCommand extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = workloadFlags;

  /** `timeoutMs` is of the call. */
  protected async call<T>(flags: WorkloadFlags, act: (client: WorkloadClient, timeoutMs: number) => Promise<T>): Promise<T> {
    const address = hostPort(flags["grpc-addr"]);
    const tls = clientTlsFrom(flags);
    const apiToken = tokenIn(flags["api-token-file"]);
    const nomadToken = process.env["NOMAD_TOKEN"] || undefined;
    const [{ WorkloadClient }, { silenceGrpcLog }] = await Promise.all([import("../../sidecar/api/workload-client.js"), import("../../sidecar/api/grpc-log.js")]);
    silenceGrpcLog();
    const client = new WorkloadClient(address, { tls, ...(apiToken === undefined ? {} : { apiToken }), ...(nomadToken === undefined ? {} : { nomadToken }) });
    try {
      return await act(client, flags.timeout * 1_000);
    } finally {
      client.close();
    }
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${safeJson(json, 2)}\n`);
  }

  override async catch(error: Error): Promise<void> {
    const failure = failureOf(error);
    process.exitCode = failure.exitCode;
    if (this.jsonEnabled()) return this.logJson({ schemaVersion: 1, error: failure });
    if (failure.code === "error" && !("oclif" in error)) throw error;
    error.message = failure.message;
    if ("oclif" in error) throw error;
    this.error(failure.message, { exit: failure.exitCode });
  }
}

/** Throws UsageError. */
function fileBytes(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${flag} ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function tokenIn(path: string | undefined): string | undefined {
  return path === undefined ? undefined : fileBytes("--api-token-file", path).toString("utf8").trim();
}
