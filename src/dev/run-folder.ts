/**
 * The temporary folder of one local cluster, and the account of what it started: every process is recorded in
 * run.json before anything else happens, so that a run that was killed with -9 is cleaned up by the next one.
 * Processes also carry the folder in their environment, which finds what they started themselves (Nomad's tasks).
 */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { removeNomadLeftovers, taskPids } from "./nomad-leftovers.js";
import { identify, isSameProcess, pidsWithVariable, type ProcessIdentity, signalIfAlive } from "./process-identity.js";

const RECORD = "run.json";
const MARKER = "HYPERCORE_RUN_FOLDER";
const GONE_WITHIN_MS = 5_000;

interface RunRecord {
  owner: ProcessIdentity;
  children: ProcessIdentity[];
}

export class RunFolder {
  readonly #record: RunRecord;
  readonly #atExit = (): void => this.#endAtExit();

  private constructor(
    readonly path: string,
    record: RunRecord,
  ) {
    this.#record = record;
  }

  /** A new folder `PREFIX-XXXXXX`, readable by this user only. It is removed when this process exits, however it exits but by SIGKILL. */
  static create(prefix: string, parent: string = tmpdir()): RunFolder {
    const path = mkdtempSync(join(realpathSync(parent), `${prefix}-`));
    const owner = identify(process.pid);
    if (owner === null) throw new Error("This process cannot be identified: neither /proc nor ps answers");
    const folder = new RunFolder(path, { owner, children: [] });
    folder.#write();
    process.once("exit", folder.#atExit);
    return folder;
  }

  /** Ends what runs left behind whose owner is gone, and removes their folders. Returns the folders. */
  static async cleanStale(prefix: string, parent: string = tmpdir()): Promise<string[]> {
    const cleaned: string[] = [];
    for (const entry of readdirSync(parent)) {
      if (!entry.startsWith(`${prefix}-`)) continue;
      const path = join(realpathSync(parent), entry);
      const record = readRecord(path);
      if (record === null || isSameProcess(record.owner)) continue;
      const folder = new RunFolder(path, record);
      await folder.endProcesses();
      folder.#delete();
      cleaned.push(path);
    }
    return cleaned;
  }

  /** Those of this user whose owner lives: what `hypercore dev` runs at the moment. To look at, not to remove. */
  static running(prefix: string, parent: string = tmpdir()): RunFolder[] {
    return readdirSync(parent)
      .filter((entry) => entry.startsWith(`${prefix}-`))
      .map((entry) => join(realpathSync(parent), entry))
      .flatMap((path) => {
        const record = readRecord(path);
        return record !== null && isSameProcess(record.owner) ? [new RunFolder(path, record)] : [];
      });
  }

  /** Absolute: what cluster-nodes.ts makes for each node. */
  nodeFolders(): string[] {
    return readdirSync(this.path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? join(this.path, entry.name) : []));
  }

  /** Recorded pids that run and whose command names a path below this one. */
  recordedWithin(path: string): number[] {
    return this.#record.children.filter((child) => child.command.includes(`${path}/`) && isSameProcess(child)).map(({ pid }) => pid);
  }

  /** To be in the environment of every process of the run. */
  get environment(): Record<string, string> {
    return { [MARKER]: this.path };
  }

  /** To be called in the same tick as the process is started. */
  record(pid: number): void {
    const child = identify(pid);
    if (child === null) return; // died at once
    this.#record.children = this.#record.children.filter(isSameProcess);
    this.#record.children.push(child);
    this.#write();
  }

  /** Pids of the run that still run. */
  survivors(): number[] {
    const recorded = this.#record.children.filter(isSameProcess).map(({ pid }) => pid);
    return [...new Set([...recorded, ...pidsWithVariable(MARKER, this.path), ...taskPids(this.path)])];
  }

  /** SIGKILL to all of them, again while some are left (a dying parent may still start one). */
  async endProcesses(): Promise<void> {
    const deadline = performance.now() + GONE_WITHIN_MS;
    for (let left = this.survivors(); left.length > 0; left = this.survivors()) {
      if (performance.now() > deadline) throw new Error(`Processes of ${this.path} do not end: ${left.join(", ")}`);
      for (const pid of left) signalIfAlive(pid, "SIGKILL");
      await sleep(20);
    }
  }

  async remove(): Promise<void> {
    await this.endProcesses();
    this.#delete();
    process.removeListener("exit", this.#atExit);
  }

  /** process.exit() from anywhere (an uncaught error, a closed pipe) must not leave a cluster running. */
  #endAtExit(): void {
    for (const pid of this.survivors()) signalIfAlive(pid, "SIGKILL");
    this.#delete();
  }

  #delete(): void {
    removeNomadLeftovers(this.path);
    // Retried: a process that was just killed may still be closing a file in it.
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  #write(): void {
    const next = join(this.path, `${RECORD}.new`);
    writeFileSync(next, JSON.stringify(this.#record, null, 2));
    renameSync(next, join(this.path, RECORD));
  }
}

/** Null unless it is a folder of this user with a record: the temporary folder is shared, and a record names pids to kill. */
function readRecord(path: string): RunRecord | null {
  try {
    const found = lstatSync(path);
    if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) return null;
    return JSON.parse(readFileSync(join(path, RECORD), "utf8")) as RunRecord;
  } catch {
    return null;
  }
}
