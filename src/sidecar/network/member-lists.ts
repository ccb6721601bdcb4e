/**
 * The allow-lists of a beacon network's member clusters, from files: read at the start, and again while it serves. A newer list
 * takes the place of the one before it; one that cannot be used leaves that standing, and says why once.
 */
import { readFileSync } from "node:fs";
import { type AllowList, ALLOW_LIST, sealedAllowList } from "../../beacon/allow-list.js";
import { openStatement } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { Clock } from "../clock.js";
import { SettingsError } from "../settings.js";

const LOOK_EVERY_MS = 2_000;

export class MemberLists {
  /** In the order of the files. */
  #held: AllowList[];
  readonly #told = new Map<string, string>();

  /** Throws SettingsError that names the file. */
  constructor(
    private readonly deps: {
      paths: readonly string[];
      /** Hex: whose signature counts. */
      operators: ReadonlySet<string>;
      keys: KeyAdmission;
      clock: Pick<Clock, "nowMs" | "sleep">;
      logger: { info(fields: object, message: string): void; error(fields: object, message: string): void };
    },
  ) {
    this.#held = deps.paths.map((path) => this.#read(path));
  }

  get held(): readonly AllowList[] {
    return this.#held;
  }

  /** Until the signal aborts. `onChange` is told all lists. Never rejects. */
  async run(onChange: (lists: readonly AllowList[]) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.deps.clock.sleep(LOOK_EVERY_MS, signal);
      if (this.look()) onChange(this.#held);
    }
  }

  /** Whether a list changed, or came to its end. */
  look(): boolean {
    const { paths, logger } = this.deps;
    const next = paths.map((path, i) => {
      const before = this.#held[i] as AllowList;
      try {
        const read = this.#read(path);
        if (read.serial === before.serial && read.datacenter === before.datacenter && read.issuedAtMs === before.issuedAtMs) return before;
        if (read.datacenter !== before.datacenter) throw this.#wrong(path, `is of datacenter ${read.datacenter}; it was of ${before.datacenter}`);
        if (read.serial <= before.serial) throw this.#wrong(path, `has serial ${String(read.serial)}; the list that counts has ${String(before.serial)}`);
        logger.info({ path, datacenter: read.datacenter, serial: read.serial, nodes: read.nodes.length }, "a newer allow-list counts");
        this.#told.delete(path);
        return read;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (this.#told.get(path) !== reason) logger.error({ path, reason }, "an allow-list cannot be used: the one before it counts on, until its end");
        this.#told.set(path, reason);
        return this.#isOver(before) && before.nodes.length > 0 ? { ...before, nodes: [] } : before;
      }
    });
    const changed = next.some((list, i) => list !== this.#held[i]);
    this.#held = next;
    return changed;
  }

  #read(path: string): AllowList {
    const { operators, keys } = this.deps;
    let bytes: Uint8Array | undefined;
    try {
      bytes = sealedAllowList(readFileSync(path));
    } catch (error) {
      throw this.#wrong(path, `cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
    const opened = openStatement(ALLOW_LIST, bytes ?? new Uint8Array(), keys);
    if (!opened.ok) throw this.#wrong(path, `is no signed allow-list: ${opened.reason}: ${opened.detail}`);
    const { record, key } = opened.signed;
    if (!operators.has(key.hex)) throw this.#wrong(path, `is signed by ${key.hex}, which no --operator-key names`);
    if (this.#isOver(record)) throw this.#wrong(path, "is over its end");
    return record;
  }

  #isOver({ expiresAtMs }: AllowList): boolean {
    return this.deps.clock.nowMs() >= (expiresAtMs ?? Number.POSITIVE_INFINITY);
  }

  #wrong(path: string, why: string): SettingsError {
    return new SettingsError("--admit", `${path} ${why}`);
  }
}
