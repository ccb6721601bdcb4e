/**
 * What the programs of bench/ share: flags, the machine's name, medians, and one way to print. Each program measures
 * for itself. The table goes to stdout, progress to stderr; a file is written only where `--write FILE` asks for it.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { basename } from "node:path";
import { parseArgs } from "node:util";

export interface Column {
  /** With the unit: the name in the JSON. */
  key: string;
  heading: string;
  /** Decimals in the table; the JSON has the number as it is. */
  digits?: number;
}

export interface Report {
  title: string;
  /** How it was measured, and what the ratios are ratios to. */
  method: string;
  columns: readonly Column[];
  /** By column key; null where there is nothing to measure. */
  rows: readonly Readonly<Record<string, string | number | null>>[];
}

/** Of at least one value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  if (low === undefined || high === undefined) throw new RangeError("no values, no median");
  return (low + high) / 2;
}

/** "1.93–2.11" */
export function range(values: readonly number[], digits: number): string {
  return `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
}

/**
 * Runs one program: `defaults` names its own flags, all of them positive whole numbers. Ctrl-C and SIGTERM abort the
 * signal, so that whatever the program started is taken down before it ends (130). Bad flags end with 2.
 */
export async function runBench<F extends Record<string, number>>(
  defaults: F,
  measure: (flags: F, signal: AbortSignal) => Promise<Report> | Report,
): Promise<void> {
  const options = readArguments(defaults);
  if (options === null) return;
  const ending = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => ending.abort());
  const machine = describeMachine();
  try {
    const report = await measure(options.flags, ending.signal);
    const text = options.json ? jsonOf(report, machine) : textOf(report, machine);
    process.stdout.write(text);
    if (options.write !== undefined) writeFileSync(options.write, text);
  } catch (error) {
    if (!ending.signal.aborted) console.error(error);
    process.exitCode = ending.signal.aborted ? 130 : 1;
  }
  process.exit(); // the signal listeners are no reason to stay
}

function readArguments<F extends Record<string, number>>(defaults: F) {
  const own = Object.keys(defaults);
  try {
    const { values } = parseArgs({
      options: {
        json: { type: "boolean", default: false },
        write: { type: "string" },
        ...Object.fromEntries(own.map((name) => [name, { type: "string" } as const])),
      },
    });
    const given = values as Record<string, string | boolean | undefined>;
    const flags = Object.fromEntries(own.map((name) => [name, positive(name, given[name] ?? defaults[name])]));
    return { flags: flags as F, json: values.json, write: values.write };
  } catch (error) {
    const usage = own.map((name) => ` [--${name} ${String(defaults[name])}]`).join("");
    console.error(`${(error as Error).message}\nUsage: node ${basename(process.argv[1] ?? "")} [--json] [--write FILE]${usage}`);
    process.exitCode = 2;
    return null;
  }
}

function positive(name: string, value: unknown): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new RangeError(`--${name} ${String(value)}: a whole number from 1 up`);
  return number;
}

/** The load is of the moment before anything was measured: what the figures had to share the machine with. */
function describeMachine(): string {
  const load = (loadavg()[0] ?? 0).toFixed(1);
  return `${cpus()[0]?.model ?? "unknown processor"}, ${String(availableParallelism())} cores, Node ${process.version}, load ${load} before`;
}

function jsonOf({ title, method, rows }: Report, machine: string): string {
  return `${JSON.stringify({ schemaVersion: 1, title, machine, method, rows }, null, 2)}\n`;
}

function textOf({ title, method, columns, rows }: Report, machine: string): string {
  const cells = [columns.map(({ heading }) => heading), ...rows.map((row) => columns.map((column) => cellOf(row[column.key], column)))];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => (line[at] ?? "").length)));
  // Names to the left, figures to the right.
  const lines = cells.map((line) =>
    line.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ").trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return [title, machine, method, "", ...lines, ""].join("\n");
}

function cellOf(value: string | number | null | undefined, { digits = 0 }: Column): string {
  if (value === null || value === undefined) return "-";
  return typeof value === "number" ? value.toFixed(digits) : value;
}
