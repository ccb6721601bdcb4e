/** Where this package stands on disk: the same from dist/, from build/ and from inside node_modules. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The folder whose package.json names `hypercore-ibrl`, upwards from this file. */
export function projectRoot(start: string = import.meta.dirname): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, "utf8")) as { name?: string };
      if (name === "hypercore-ibrl") return folder;
    }
    if (dirname(folder) === folder) throw new Error(`No package.json of hypercore-ibrl above ${start}`);
  }
}
