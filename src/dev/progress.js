/**
 * Progress of long work, on stderr: one live line on a terminal, a plain line now and then in a pipe.
 * Plain JavaScript, because scripts/setup.mjs needs it before anything is installed or compiled.
 */

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_EVERY_MS = 120;
const LINE_EVERY_MS = 20_000;

/** @param {number} ms */
export function formatElapsed(ms) {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @type {import("./progress.js").createProgress} */
export function createProgress(stream = process.stderr) {
  const live = stream.isTTY === true && process.env.TERM !== "dumb";
  const clear = live ? "\r\u001b[K" : "";
  /** @param {string} text */
  const line = (text) => stream.write(`${clear}${text}\n`);

  return {
    note: line,
    step(title) {
      const startedAt = performance.now();
      let detail = "";
      let frame = 0;
      const elapsed = () => formatElapsed(performance.now() - startedAt);
      const text = () => `${title}${detail && `: ${detail}`}, ${elapsed()}`;
      const draw = () => {
        frame = (frame + 1) % FRAMES.length;
        // One column short of the width: a wrapped line could not be cleared.
        stream.write(`${clear}${FRAMES[frame]} ${text()}`.slice(0, clear.length + (stream.columns || 80) - 1));
      };
      if (live) draw();
      else line(`${title} …`);
      const timer = setInterval(live ? draw : () => line(`  ${text()}`), live ? FRAME_EVERY_MS : LINE_EVERY_MS);
      timer.unref();
      return {
        update(next) {
          detail = next;
        },
        done(result = title) {
          clearInterval(timer);
          line(`✓ ${result}, ${elapsed()}`);
        },
        fail(result = title) {
          clearInterval(timer);
          line(`✗ ${result}, ${elapsed()}`);
        },
      };
    },
  };
}
