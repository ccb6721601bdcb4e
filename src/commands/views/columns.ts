/**
 * Rows in aligned columns, for the width at hand. What does not fit is left out, one column at a time in the order that
 * the plan states; then the columns that may shrink are cut, the widest first. Widths are terminal columns.
 */
import { displayWidth, padTo, truncate } from "./width.js";

export interface TableOptions {
  /** Of the terminal; Infinity in a pipe, where everything is shown. */
  columns: number;
  color: boolean;
}

export interface ColumnPlan<C extends string> {
  /** In the order of the columns. */
  headings: Readonly<Record<C, string>>;
  /** All others are aligned to the right. */
  left: ReadonlySet<C>;
  /** The first is the first to go; a column that is not in it always stays. */
  dropOrder: readonly C[];
  shrink: readonly C[];
}

export interface LaidOut<C extends string> {
  /** The headings, and a line for each row. */
  lines: string[];
  dropped: C[];
}

const GAP = "  ";
const MIN_WIDTH = 8;

/** `paint` colours a cell that already has its width; it is asked only where the options say colour. */
export function layOut<C extends string>(
  plan: ColumnPlan<C>,
  rows: readonly Readonly<Record<C, string>>[],
  { columns, color }: TableOptions,
  paint: (column: C, cell: string, row: number) => string,
): LaidOut<C> {
  const shown = Object.keys(plan.headings) as C[];
  const widths = {} as Record<C, number>;
  // No spread of the rows into Math.max: the pairs of some hundred nodes are more arguments than a call may have.
  for (const column of shown) widths[column] = rows.reduce((width, row) => Math.max(width, displayWidth(row[column])), displayWidth(plan.headings[column]));
  const total = (): number => shown.reduce((sum, column) => sum + widths[column], GAP.length * (shown.length - 1));

  const dropped: C[] = [];
  for (const column of plan.dropOrder) {
    if (total() <= columns) break;
    shown.splice(shown.indexOf(column), 1);
    dropped.push(column);
  }
  for (let over = total() - columns; over > 0; over -= 1) {
    const widest = plan.shrink.filter((column) => widths[column] > MIN_WIDTH).sort((a, b) => widths[b] - widths[a])[0];
    if (widest === undefined) break;
    widths[widest] -= 1;
  }

  const line = (row: Readonly<Record<C, string>>, painted: (column: C, cell: string) => string): string =>
    shown
      .map((column, i) => {
        const cell = truncate(row[column], widths[column]);
        if (!plan.left.has(column)) return painted(column, padTo(cell, widths[column], "right"));
        return painted(column, i === shown.length - 1 ? cell : padTo(cell, widths[column]));
      })
      .join(GAP);
  const bold = (_: C, cell: string): string => (color ? `\u001b[1m${cell}\u001b[22m` : cell);
  return {
    lines: [line(plan.headings, bold), ...rows.map((row, i) => line(row, (column, cell) => (color ? paint(column, cell, i) : cell)))],
    dropped,
  };
}

/** Below the rows; none where nothing was left out. */
export function droppedNote(dropped: readonly string[]): string[] {
  return dropped.length > 0 ? [`too narrow for: ${dropped.join(", ")}`] : [];
}
