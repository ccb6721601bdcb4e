/** SECURITY.md against the tests: what stops an attack names the tests that show it, and they are there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../src/dev/project-root.js";

const root = projectRoot();
const text = readFileSync(join(root, "SECURITY.md"), "utf8");
const [model = "", list = ""] = text.split("## The tests\n");
const named = [...list.matchAll(/^(\d+)\. `(test\/\S+\.test\.ts)` "(.+)"$/gm)].map(([, number = "", file = "", title = ""]) => ({ number: Number(number), file, title }));
const cited = (cell: string): number[] => [...cell.matchAll(/\[(\d+)\]/g)].map(([, number]) => Number(number));

/** The rows of tables with a column of this heading, by that column's cell and the whole row. */
function cellsUnder(heading: string): { row: string; cell: string }[] {
  let column = -1;
  return model.split("\n").flatMap((row) => {
    const cells = row.startsWith("|") ? row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()) : [];
    if (cells.includes(heading)) column = cells.indexOf(heading);
    else if (cells.length === 0) column = -1;
    else if (column >= 0 && !/^-+$/.test(cells[column] ?? "")) return [{ row, cell: cells[column] ?? "" }];
    return [];
  });
}

test("every line of the list of tests is one, numbered in order", () => {
  expect(list.split("\n").filter((line) => /^\d/.test(line))).toHaveLength(named.length);
  expect(named.map(({ number }) => number)).toEqual(named.map((_, i) => i + 1));
});

test.each(named)("$number: $file has “$title”", ({ file, title }) => {
  const source = readFileSync(join(root, file), "utf8");
  expect(source).toContain(`"${title}"`);
});

test("whatever is said to stop an attack names its test, and every test listed is named", () => {
  const rows = cellsUnder("what stops it");
  expect(rows.length).toBeGreaterThan(15);
  expect(rows.filter(({ cell }) => cited(cell).length === 0 && !cell.startsWith("nothing "))).toEqual([]);
  const numbers = new Set(cited(model));
  expect([...numbers].sort((a, b) => a - b)).toEqual(named.map(({ number }) => number));
});
