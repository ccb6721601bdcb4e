#!/usr/bin/env node
/**
 * The entry of `hypercore`. It checks the Node version before anything else is loaded, and for that stays in
 * syntax that old versions parse: no static import, no top-level await.
 */
const REQUIRED = "20.19.0"; // package.json, engines; test/unit/entry.test.ts compares them

if (isOlder(process.versions.node, REQUIRED)) {
  process.stderr.write(
    `hypercore needs Node.js ${REQUIRED} or newer and is run by ${process.version} (${process.execPath}).\n` +
      "Install a newer one from https://nodejs.org, or put it first in PATH.\n",
  );
  process.exitCode = 1;
} else {
  void start(); // not awaited: top-level await is syntax that old versions do not parse
}

async function start() {
  // `hypercore … | head`: the reader has seen enough, which is no error. A closed stderr must not end a daemon.
  process.stdout.on("error", (error) => {
    if (error.code === "EPIPE") process.exit();
    throw error;
  });
  process.stderr.on("error", (error) => {
    if (error.code !== "EPIPE") throw error;
  });

  // Part by part: the index of @oclif/core loads all of it, which `--help` does not need.
  const [{ run }, { flush }, { handle }, { settings }] = await Promise.all([
    import("@oclif/core/run"),
    import("@oclif/core/flush"),
    import("@oclif/core/handle"),
    import("@oclif/core/settings"),
  ]);
  settings.enableAutoTranspile = false; // dist/ is what runs, whatever NODE_ENV says
  try {
    await run(process.argv.slice(2), import.meta.url);
    await flush();
  } catch (error) {
    await handle(error);
  }
}

/**
 * @param {string} version
 * @param {string} required
 */
function isOlder(version, required) {
  const has = version.split(".").map(Number);
  const needs = required.split(".").map(Number);
  const differs = needs.findIndex((part, i) => part !== has[i]);
  return differs !== -1 && has[differs] < needs[differs];
}
