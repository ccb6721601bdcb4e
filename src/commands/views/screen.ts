/**
 * A terminal that `--watch` refreshes in place: the alternate screen, so that what stood there comes back. A frame
 * taller than the terminal is cut with a line that says so, since it could not be redrawn otherwise. The last frame
 * is printed whole when the screen is left.
 */

/** What of a tty.WriteStream is used. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  write(text: string): unknown;
  on(event: "resize", listener: () => void): unknown;
  off(event: "resize", listener: () => void): unknown;
}

// Without wrapping: a line that is too long would push the others out of their rows.
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

export class Screen {
  #frame: (() => string) | undefined;
  readonly #redraw = (): void => this.#paint();

  constructor(private readonly terminal: Terminal) {}

  /** `frame` is asked again when the terminal changes its size. */
  draw(frame: () => string): void {
    if (this.#frame === undefined) {
      this.terminal.write(ENTER);
      this.terminal.on("resize", this.#redraw);
    }
    this.#frame = frame;
    this.#paint();
  }

  /** Safe to call twice, and before anything was drawn. */
  leave(): void {
    if (this.#frame === undefined) return;
    const last = this.#frame();
    this.#frame = undefined;
    this.terminal.off("resize", this.#redraw);
    this.terminal.write(`${LEAVE}${last}\n`);
  }

  #paint(): void {
    if (this.#frame === undefined) return;
    const lines = this.#frame().split("\n");
    const room = Math.max(2, this.terminal.rows);
    const over = lines.length - room;
    const shown = over > 0 ? [...lines.slice(0, room - 1), `… ${String(over + 1)} more lines`] : lines;
    this.terminal.write(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE}`).join("\n")}${CLEAR_BELOW}`);
  }
}
