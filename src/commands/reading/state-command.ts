/** What commands share that read a sidecar's state folder on this host, whether the sidecar runs or not. */
import { Command, Flags, type Interfaces } from "@oclif/core";
import { defaultStateDir } from "../../sidecar/settings.js";
import { safeJson } from "../views/printable.js";
import { failureOf } from "./failure.js";

export const stateFlags = {
  "state-dir": Flags.string({
    summary: "The sidecar's state folder. Default: /var/lib/hypercore-ibrl as root, else ~/.local/state/hypercore-ibrl.",
    env: "IBRL_STATE_DIR",
    helpValue: "FOLDER",
  }),
};

export type StateFlags = Interfaces.InferredFlags<typeof stateFlags>;

export abstract class StateCommand extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = stateFlags;

  protected folderOf(flags: StateFlags): string {
    return flags["state-dir"] ?? defaultStateDir(process.geteuid?.() === 0);
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${safeJson(json, 2)}\n`);
  }

  override async catch(error: Error): Promise<void> {
    const failure = failureOf(error);
    process.exitCode = failure.exitCode;
    if (this.jsonEnabled()) this.logJson({ schemaVersion: 1, error: failure });
    else if (failure.code === "error" && !("oclif" in error)) throw error;
    else this.error(failure.message, { exit: failure.exitCode });
  }
}
