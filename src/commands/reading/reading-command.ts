/**
 * What `cluster metrics`, `cluster list` and `cluster links` share: read, choose, show, watch, and the exit codes. 0;
 * 1 error; 2 bad usage; 3 under --strict where a record fails verification. A subclass brings the views.
 */
import { isRejected, type NodeView } from "../../beacon/node-view.js";
import { printable, safeJson } from "../views/printable.js";
import { progressLine } from "../views/progress.js";
import { Screen } from "../views/screen.js";
import { warnings } from "../views/warnings.js";
import { EXIT, failureOf } from "./failure.js";
import { parseFilters } from "./filter.js";
import { intervalMs, type ReadingFlags, readingFlags } from "./flags.js";
import { PlainCommand } from "./plain-command.js";
import { selectNodes } from "./select-nodes.js";
import { sortNodes } from "./sort.js";
import { openSource, type Source } from "./source.js";
import { watch } from "./watch.js";

export interface TextOptions {
  /** Infinity in a pipe. */
  columns: number;
  color: boolean;
}

export interface Presentation<D> {
  /** Throws where these nodes cannot be shown as asked; that is a read that failed. */
  check?: (nodes: readonly NodeView[]) => void;
  /** Without the last newline. */
  text: (nodes: readonly NodeView[], options: TextOptions) => string;
  document: (nodes: readonly NodeView[]) => D;
}

type Read = (signal: AbortSignal) => Promise<NodeView[]>;

export abstract class ReadingCommand extends PlainCommand {
  static override baseFlags = readingFlags;

  /** The document for oclif to print under --json; undefined where `--watch` has printed already. */
  protected async present<D>(flags: ReadingFlags, presentation: Presentation<D>): Promise<D | undefined> {
    const passes = parseFilters(flags.filter ?? []);
    const everyMs = intervalMs(flags.interval);
    const source = await openSource(flags, process.env);
    const read: Read = async (signal) => {
      const nodes = await this.#read(source, signal);
      const chosen = sortNodes(selectNodes(nodes, flags.node ?? []).filter(passes), flags.sort);
      presentation.check?.(chosen);
      return chosen;
    };
    const failsStrict = (nodes: readonly NodeView[]): boolean => flags.strict && nodes.some(({ trust }) => isRejected(trust));
    try {
      if (flags.watch) {
        await this.#watch(everyMs, read, presentation, failsStrict);
        return undefined;
      }
      const nodes = await read(new AbortController().signal);
      this.#showOnce(nodes, presentation);
      if (failsStrict(nodes)) this.#failStrict(nodes);
      return presentation.document(nodes);
    } finally {
      source.close();
    }
  }

  async #read(source: Source, signal: AbortSignal): Promise<NodeView[]> {
    const line = progressLine(process.stderr, `Reading from ${source.name}`);
    try {
      return await source.read(signal, (step) => line.update(`${source.name}: ${step}`));
    } finally {
      line.end();
    }
  }

  #showOnce(nodes: readonly NodeView[], presentation: Presentation<unknown>): void {
    this.log(presentation.text(nodes, textOptions()));
    for (const line of warnings(nodes)) this.logToStderr(line);
    if (nodes.length === 0) this.logToStderr("no node to show");
  }

  #failStrict(nodes: readonly NodeView[]): void {
    const names = nodes.filter(({ trust }) => isRejected(trust)).map(({ name }) => printable(name));
    this.logToStderr(`--strict: verification failed for ${names.join(", ")}`);
    process.exitCode = EXIT.verification;
  }

  async #watch(everyMs: number, read: Read, presentation: Presentation<unknown>, failsStrict: (nodes: readonly NodeView[]) => boolean): Promise<void> {
    const ending = new AbortController();
    const end = (): void => ending.abort();
    const screen = process.stdout.isTTY && !this.jsonEnabled() ? new Screen(process.stdout) : undefined;
    const leave = (): void => screen?.leave();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
    process.stdout.once("error", end); // `--watch | head`: nobody reads any more
    process.once("exit", leave);
    let last: readonly NodeView[] = [];
    const draw = (note: readonly string[]): void =>
      screen?.draw(() => [presentation.text(last, textOptions()), ...warnings(last), ...note].join("\n"));
    try {
      await watch(
        {
          intervalMs: everyMs,
          read,
          show: (nodes) => {
            last = nodes;
            if (screen !== undefined) draw([]);
            else if (this.jsonEnabled()) process.stdout.write(`${safeJson(presentation.document(nodes))}\n`);
            else this.#showOnce(nodes, presentation);
            return failsStrict(nodes);
          },
          failed: (error) => {
            const { message } = failureOf(error);
            const note = `not read at ${new Date().toISOString()}, trying again: ${message}`;
            if (screen !== undefined) draw([`Shown as last read; ${note}`]);
            else process.stderr.write(`warning: ${note}\n`);
          },
        },
        ending.signal,
      );
    } finally {
      leave();
      process.off("exit", leave);
      process.stdout.off("error", end);
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, end);
    }
    if (failsStrict(last)) this.#failStrict(last);
  }
}

/** NO_COLOR and TERM=dumb are read by hasColors. */
export function textOptions(): TextOptions {
  const { stdout } = process;
  return stdout.isTTY ? { columns: stdout.columns, color: stdout.hasColors() } : { columns: Infinity, color: false };
}
