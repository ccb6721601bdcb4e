/**
 * One line about a read that takes long, on stderr, on a terminal only, and gone when it is over. A read that ends
 * within DELAY_MS shows nothing: most do, and a line that flashes is noise.
 */
import { printable } from "./printable.js";
import { truncate } from "./width.js";

export interface ProgressLine {
  update(text: string): void;
  end(): void;
}

/** What of a tty.WriteStream is used. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const DELAY_MS = 400;
const CLEAR = "\r\u001b[K";

export function progressLine(stream: ProgressStream, title: string, after: typeof setTimeout = setTimeout): ProgressLine {
  if (stream.isTTY !== true) return { update: () => {}, end: () => {} };
  let text = title;
  let visible = false;
  // One column short of the width: a wrapped line could not be cleared.
  const draw = (): unknown => stream.write(CLEAR + truncate(`${printable(text)} …`, (stream.columns ?? 80) - 1));
  const timer = after(() => {
    visible = true;
    draw();
  }, DELAY_MS);
  return {
    update(next) {
      text = next;
      if (visible) draw();
    },
    end() {
      clearTimeout(timer);
      if (visible) stream.write(CLEAR);
      visible = false;
    },
  };
}
