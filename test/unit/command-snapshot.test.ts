/**
 * The commands and flags that users and scripts rely on. A change here is a change for them: say it in CHANGELOG.md,
 * then accept it with UPDATE_COMMANDS=1. Read from oclif.manifest.json, which `npm run check` holds to the code.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../src/dev/project-root.js";

interface FlagEntry {
  name: string;
  char?: string;
  type: "boolean" | "option";
  allowNo?: boolean;
  multiple?: boolean;
  required?: boolean;
  default?: unknown;
  env?: string;
  options?: string[];
}
interface CommandEntry {
  aliases: string[];
  args: Record<string, { required?: boolean }>;
  flags: Record<string, FlagEntry>;
}

const committed = join(projectRoot(), "test/unit/command-snapshot.txt");

function surface(): string {
  const manifest = JSON.parse(readFileSync(join(projectRoot(), "oclif.manifest.json"), "utf8")) as { commands: Record<string, CommandEntry> };
  return Object.entries(manifest.commands)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, { aliases, args, flags }]) => {
      const head = [id.replaceAll(":", " "), ...Object.entries(args).map(([name, { required }]) => (required === true ? name : `[${name}]`)), ...aliases.map((a) => `(${a})`)];
      const lines = Object.values(flags).map((flag) => `  ${flagLine(flag)}`);
      return [head.join(" "), ...lines.sort(), ""].join("\n");
    })
    .join("\n");
}

function flagLine(flag: FlagEntry): string {
  const names = `${flag.char === undefined ? "" : `-${flag.char}, `}--${flag.allowNo === true ? "[no-]" : ""}${flag.name}`;
  const value = flag.type === "boolean" ? "" : `=${flag.options?.join("|") ?? "VALUE"}${flag.multiple === true ? "..." : ""}`;
  const more = [
    ...(flag.required === true ? ["required"] : []),
    ...(flag.default === undefined ? [] : [`default ${JSON.stringify(flag.default)}`]),
    ...(flag.env === undefined ? [] : [`env ${flag.env}`]),
  ];
  return names + value + (more.length === 0 ? "" : `  (${more.join(", ")})`);
}

test("commands and flags are the committed ones", () => {
  if (process.env["UPDATE_COMMANDS"] === "1") writeFileSync(committed, surface());
  expect(surface().split("\n")).toEqual(readFileSync(committed, "utf8").split("\n"));
});
