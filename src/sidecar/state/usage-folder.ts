/** This node's statements of what it carried, one file for each part of a period: the sealed bytes, base64. */
import * as nodeFs from "node:fs";
import { join } from "node:path";
import { makeStateFolder, readPrivate, writeAtomically } from "./atomic-file.js";
import { statementName } from "../../beacon/usage-record.js";
import { StateError } from "./state-error.js";

const FOLDER = "usage";
const FILE = /^(\d{1,16})-(\d{1,6})$/;
/** A month of hours. The oldest go first. */
export const KEPT_STATEMENTS = 744;

export interface StatementPlace {
  periodStartMs: number;
  part: number;
}

export class UsageFolder {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, FOLDER);
  }

  /** Oldest first. Throws StateError. */
  list(): StatementPlace[] {
    let names: string[];
    try {
      names = nodeFs.readdirSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new StateError("unreadable", this.#path, (error as Error).message, "Give the sidecar's user read access.", { cause: error });
    }
    return names
      .flatMap((name) => {
        const [, start, part] = FILE.exec(name) ?? [];
        return start === undefined || part === undefined ? [] : [{ periodStartMs: Number(start), part: Number(part) }];
      })
      .sort((a, b) => a.periodStartMs - b.periodStartMs || a.part - b.part);
  }

  /** Null where it is not there. Not verified. Throws StateError. */
  read(place: StatementPlace): Uint8Array | null {
    const content = readPrivate(this.#file(place));
    return content === null ? null : Buffer.from(content, "base64");
  }

  /** On the disk when it returns; the oldest are gone then where there are too many. Throws StateError. */
  write(place: StatementPlace, sealed: Uint8Array): void {
    makeStateFolder(this.#path);
    writeAtomically(this.#file(place), Buffer.from(sealed).toString("base64"));
    for (const old of this.list().slice(0, -KEPT_STATEMENTS)) nodeFs.rmSync(this.#file(old), { force: true });
  }

  #file(place: StatementPlace): string {
    return join(this.#path, statementName(place));
  }
}
