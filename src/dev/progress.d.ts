/** One piece of long work. Ends with `done` or `fail`, once. */
export interface ProgressStep {
  /** What it is busy with now; shown at the next redraw. */
  update(detail: string): void;
  done(result?: string): void;
  fail(result?: string): void;
}

export interface Progress {
  /** A line that stays. */
  note(text: string): void;
  step(title: string): ProgressStep;
}

export function createProgress(stream?: NodeJS.WriteStream): Progress;
/** "42 s", "3 min 7 s". */
export function formatElapsed(ms: number): string;
