/** Errors and JSON of every command of ours but probe, sidecar and dev: exit codes as in failure.ts, text made safe for a terminal. */
import { Command } from "@oclif/core";
import { safeJson } from "../views/printable.js";
import { failureOf } from "./failure.js";

export abstract class PlainCommand extends Command {
  static override enableJsonFlag = true;

  override logJson(json: unknown): void {
    process.stdout.write(`${safeJson(json, 2)}\n`);
  }

  override async catch(error: Error): Promise<void> {
    const failure = failureOf(error);
    process.exitCode = failure.exitCode;
    if (this.jsonEnabled()) this.logJson({ schemaVersion: 1, error: failure });
    else if (failure.code === "error" && !("oclif" in error)) throw error; // a surprise keeps its stack
    else this.error(failure.message, { exit: failure.exitCode });
  }
}
