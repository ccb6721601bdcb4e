/** Shell completion, by the autocomplete plug-in: what bash offers after its script was sourced. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { runCli } from "../harness/built-cli.js";

let home: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "ibrl-completion-"));
  const { code } = await runCli(["autocomplete", "bash", "--refresh-cache"], { HOME: home, XDG_CACHE_HOME: join(home, "cache") });
  expect(code).toBe(0);
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** As bash would ask: the words typed so far, the last one unfinished. */
async function offered(...words: string[]): Promise<string[]> {
  const script = join(home, "cache/hypercore/autocomplete/functions/bash/hypercore.bash");
  expect(existsSync(script)).toBe(true);
  const ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hypercore_autocomplete; printf "%s\\n" "${COMPREPLY[@]}"';
  const { stdout } = await promisify(execFile)("bash", ["-c", ask, "bash", script, "hypercore", ...words]);
  return [...new Set(stdout.split("\n").filter((word) => word !== ""))].sort();
}

test("topics, commands and flags are offered", async () => {
  expect(await offered("clu")).toEqual(["cluster"]);
  expect(await offered("trust", "")).toEqual(["allow", "attest", "evidence", "export", "list", "pin", "recompute", "show", "unpin"]);
  expect(await offered("cluster", "")).toEqual(["explain", "links", "list", "logs", "metrics", "route", "spawn", "stop", "usage", "why-not"]);
  expect(await offered("cluster", "metrics", "--f")).toEqual(["--filter", "--format"]);
  expect(await offered("cluster", "list", "--form")).toEqual([]);
});
