/**
 * Text in terminal columns: wide characters take two, combining ones none. Text is cut between graphemes, so
 * that nothing is torn apart. Expects printable text without escape sequences.
 */
import stringWidth from "string-width";

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Most names and all numbers: a column for each character, without asking for it. */
const PRINTABLE_ASCII = /^[ -~]*$/;

export function displayWidth(text: string): number {
  return PRINTABLE_ASCII.test(text) ? text.length : stringWidth(text);
}

/** Padded with spaces to `columns`; longer text stays as it is. */
export function padTo(text: string, columns: number, align: "left" | "right" = "left"): string {
  const space = " ".repeat(Math.max(0, columns - displayWidth(text)));
  return align === "left" ? text + space : space + text;
}

/** At most `columns` wide, with `…` for what was cut. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = "";
  for (const { segment } of graphemes.segment(text)) {
    if (displayWidth(kept + segment) > columns - 1) break;
    kept += segment;
  }
  return columns < 1 ? "" : `${kept}…`;
}
