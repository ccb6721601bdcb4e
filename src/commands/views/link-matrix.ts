/**
 * `cluster links --matrix`: p50 in milliseconds, names by names. A matrix wider than the terminal is printed in blocks
 * of columns, each with all its rows, since a column left out would be a node left out. Long names get numbers.
 */
import type { LinkView } from "../../beacon/links.js";
import { isUnanswered, linkLatency, NO_LINKS } from "./link-wording.js";
import { printable } from "./printable.js";
import { displayWidth, padTo, truncate } from "./width.js";

/** Headings of columns: a name up to here, beyond it the number that stands before the row's name. */
const MAX_HEADING = 12;
const GAP = "  ";
const LEGEND = "p50 in ms, the worse of both ends · ~ estimated · ! disputed · x probed, no answer · ? unmeasured";

/** Without the last line's newline. One node's links (`ofOne`) are a single column, of that node. */
export function linkMatrix(links: readonly LinkView[], { columns, ofOne = false }: { columns: number; ofOne?: boolean }): string {
  if (links.length === 0) return NO_LINKS;
  const cells = new Map(links.flatMap((link) => both(link, cellOf(link))));
  const across = ofOne ? [links[0]?.a.name ?? ""] : namesOf(links);
  const down = ofOne ? links.map(({ b }) => b.name) : across;
  const numbered = across.some((name) => displayWidth(printable(name)) > MAX_HEADING) && !ofOne;
  const label = (name: string, i: number): string => (numbered ? `${String(i + 1)} ${printable(name)}` : printable(name));
  const heading = (name: string, i: number): string => (numbered ? String(i + 1) : printable(name));

  const labels = down.map(label);
  const labelWidth = Math.min(Math.max(...labels.map(displayWidth)), Math.max(MAX_HEADING, Math.floor(columns / 2)));
  const texts = across.map((name, i) => [heading(name, i), ...down.map((row) => (row === name ? "" : (cells.get(pair(row, name)) ?? "?")))]);
  const blocks = blocksOf(texts, columns - labelWidth);
  const lines = blocks.map((block) =>
    ["", ...labels]
      .map((text, row) => [padTo(truncate(text, labelWidth), labelWidth), ...block.map((column) => padTo(column[row] ?? "", widthOf(column), "right"))].join(GAP).trimEnd())
      .join("\n"),
  );
  return [lines.join("\n\n"), "", LEGEND].join("\n");
}

function cellOf(link: LinkView): string {
  const latency = linkLatency(link);
  const mark = link.state === "disputed" ? "!" : "";
  if (latency === undefined) return `${isUnanswered(link) ? "x" : "?"}${mark}`;
  return `${latency.source === "estimated" ? "~" : ""}${latency.ms.toFixed(2)}${mark}`;
}

function both({ a, b }: LinkView, cell: string): [string, string][] {
  return [[pair(a.name, b.name), cell], [pair(b.name, a.name), cell]];
}

/** Consul's node names hold no control characters. */
function pair(row: string, column: string): string {
  return `${row}\0${column}`;
}

/** All ends, in the order of the nodes: the first is `a` of the first pairs, the others are its peers. */
function namesOf(links: readonly LinkView[]): string[] {
  return [...new Set([links[0]?.a.name ?? "", ...links.map(({ b }) => b.name)])];
}

/** As many columns as fit side by side, at least one. */
function blocksOf(texts: readonly string[][], room: number): string[][][] {
  const blocks: string[][][] = [];
  let left = 0;
  for (const column of texts) {
    const needed = GAP.length + widthOf(column);
    const block = blocks.at(-1);
    if (block === undefined || needed > left) {
      blocks.push([column]);
      left = room - needed;
    } else {
      block.push(column);
      left -= needed;
    }
  }
  return blocks;
}

function widthOf(column: readonly string[]): number {
  return Math.max(...column.map(displayWidth));
}
