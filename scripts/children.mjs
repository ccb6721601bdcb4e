// Running other programs from the scripts of this folder.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const root = join(import.meta.dirname, "..");

/** A tool of node_modules, as a Node program, so that it runs on this Node and on every system alike. */
export const tool = (path, ...args) => [process.execPath, join(root, "node_modules", path), ...args];

/** What it prints is kept and returned, not shown. */
export function capture([command, ...args], { env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output: output.trimEnd() }));
  });
}

/**
 * Shares this process's output. Signals are passed on and the child is waited for, so that it can end what it started.
 * Resolves with the code to exit with. `onSpawn` gets the child, `onLine` each line that it prints on stdout.
 */
export function passThrough([command, ...args], { env = process.env, onSpawn = () => {}, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ["inherit", onLine === undefined ? "inherit" : "pipe", "inherit"] });
    if (child.stdout !== null) {
      child.stdout.pipe(process.stdout, { end: false });
      createInterface({ input: child.stdout }).on("line", onLine);
    }
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    const forward = (signal) => child.kill(signal);
    for (const signal of signals) process.on(signal, forward);
    onSpawn(child);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      for (const name of signals) process.removeListener(name, forward);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}
