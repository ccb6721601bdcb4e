// Imported first by start.mjs and test.mjs: ends the process with a sentence where Node.js is too old to go on.
import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const required = manifest.engines.node.replace(">=", "");

if (isOlder(process.versions.node, required)) {
  console.error(
    `Node.js ${required} or newer is needed; this is ${process.versions.node} (${process.execPath}).\n` +
      "Install a newer one from https://nodejs.org, or put it first in PATH.",
  );
  process.exit(1);
}

function isOlder(version, than) {
  const has = version.split(".").map(Number);
  const needs = than.split(".").map(Number);
  const differs = needs.findIndex((part, i) => part !== has[i]);
  return differs !== -1 && has[differs] < needs[differs];
}
