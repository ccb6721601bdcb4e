import { watch } from "../../src/commands/reading/watch.js";
import { progressLine } from "../../src/commands/views/progress.js";
import { Screen, type Terminal } from "../../src/commands/views/screen.js";

describe("watch", () => {
  /** Reads give `results` in turn; waiting takes no time and the last wait ends the watch. */
  async function run(results: (string | Error)[], stopAt?: string) {
    const ending = new AbortController();
    const seen = { shown: [] as string[], failed: [] as string[], waits: [] as number[] };
    let next = 0;
    const ended = watch(
      {
        intervalMs: 2_000,
        read: async () => {
          const result = results[next++];
          if (result instanceof Error) throw result;
          return result ?? "";
        },
        show: (text) => seen.shown.push(text) > 0 && text === stopAt,
        failed: (error) => seen.failed.push((error as Error).message),
        wait: async (ms) => {
          seen.waits.push(ms);
          if (next === results.length) ending.abort();
        },
      },
      ending.signal,
    );
    return { ended, seen };
  }

  test("reads, shows and waits until the signal", async () => {
    const { ended, seen } = await run(["a", "b", "c"]);
    await ended;
    expect(seen).toEqual({ shown: ["a", "b", "c"], failed: [], waits: [2_000, 2_000, 2_000] });
  });

  test("a first read that fails ends it; a later one is reported and tried again", async () => {
    const first = await run([new Error("down"), "a"]);
    await expect(first.ended).rejects.toThrow("down");
    const later = await run(["a", new Error("down"), "b"]);
    await later.ended;
    expect(later.seen).toMatchObject({ shown: ["a", "b"], failed: ["down"] });
  });

  test("ends when a snapshot says so", async () => {
    const { ended, seen } = await run(["a", "b", "c"], "b");
    await ended;
    expect(seen.shown).toEqual(["a", "b"]);
  });

  test("an abort during a read is an end, not a failure", async () => {
    const ending = new AbortController();
    const read = (signal: AbortSignal): Promise<string> =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("cancelled")), { once: true }));
    const ended = watch({ intervalMs: 60_000, read, show: () => false, failed: () => {} }, ending.signal);
    ending.abort();
    await expect(ended).resolves.toBeUndefined();
  });

  test("an abort ends the waiting at once", async () => {
    const ending = new AbortController();
    const shown = () => {
      setImmediate(() => ending.abort());
      return false;
    };
    await watch({ intervalMs: 86_400_000, read: async () => "a", show: shown, failed: () => {} }, ending.signal);
  });
});

class FakeTerminal implements Terminal {
  written = "";
  listeners: (() => void)[] = [];
  constructor(
    public columns: number,
    public rows: number,
  ) {}
  write(text: string): void {
    this.written += text;
  }
  on(_: "resize", listener: () => void): void {
    this.listeners.push(listener);
  }
  off(_: "resize", listener: () => void): void {
    this.listeners = this.listeners.filter((l) => l !== listener);
  }
  take(): string {
    const text = this.written;
    this.written = "";
    return text;
  }
}

describe("screen", () => {
  test("draws in place on the alternate screen, and leaves the last frame behind on the other", () => {
    const terminal = new FakeTerminal(80, 24);
    const screen = new Screen(terminal);
    screen.draw(() => "one\ntwo");
    expect(terminal.take()).toBe("\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[Hone\u001b[K\ntwo\u001b[K\u001b[J");
    screen.draw(() => "three");
    expect(terminal.take()).toBe("\u001b[Hthree\u001b[K\u001b[J");
    screen.leave();
    expect(terminal.take()).toBe("\u001b[?7h\u001b[?25h\u001b[?1049lthree\n");
    screen.leave();
    expect(terminal.take()).toBe("");
    expect(terminal.listeners).toEqual([]);
  });

  test("a frame that is too tall is cut and says by how much; a resize draws it again", () => {
    const terminal = new FakeTerminal(80, 3);
    const screen = new Screen(terminal);
    screen.draw(() => "1\n2\n3\n4\n5");
    expect(terminal.take()).toContain("1\u001b[K\n2\u001b[K\n… 3 more lines\u001b[K");
    terminal.rows = 5;
    for (const listener of terminal.listeners) listener();
    expect(terminal.take()).toContain("4\u001b[K\n5\u001b[K\u001b[J");
  });

  test("a screen that was never drawn on writes nothing", () => {
    const terminal = new FakeTerminal(80, 24);
    new Screen(terminal).leave();
    expect(terminal.take()).toBe("");
  });
});

describe("progress line", () => {
  function stream(isTTY: boolean) {
    const written: string[] = [];
    return { isTTY, columns: 20, written, write: (text: string) => written.push(text) };
  }
  /** Runs the delayed drawing when told. */
  function delayed() {
    const due: (() => void)[] = [];
    const after = ((run: () => void) => (due.push(run), 0)) as unknown as typeof setTimeout;
    return { after, pass: () => due.forEach((run) => run()) };
  }

  test("a pipe sees nothing", () => {
    const out = stream(false);
    const { after, pass } = delayed();
    const line = progressLine(out, "Reading", after);
    pass();
    line.update("more");
    line.end();
    expect(out.written).toEqual([]);
  });

  test("a terminal sees one line within its width, gone at the end", () => {
    const out = stream(true);
    const { after, pass } = delayed();
    const line = progressLine(out, "Reading", after);
    line.update("a step with a very long name\u0007");
    expect(out.written).toEqual([]);
    pass();
    line.end();
    expect(out.written).toEqual(["\r\u001b[Ka step with a very…", "\r\u001b[K"]);
  });

  test("a short read shows nothing", () => {
    const out = stream(true);
    const line = progressLine(out, "Reading", delayed().after);
    line.end();
    expect(out.written).toEqual([]);
  });
});
