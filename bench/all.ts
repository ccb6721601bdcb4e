/** Every program of bench/, one after the other: `node build/bench/all.js > figures.txt`. Some ten minutes on two quiet cores. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const PROGRAMS = ["record-sizes", "seal-open", "proofs", "join-cluster", "fuzz", "policy-selection", "policy-wasm", "prober-error", "prober-cpu", "prober-stall", "reflector-flood", "time-to-listing --runs 5", "idle-sidecar --warm-up 20 --seconds 40", "network-heartbeats --seconds 5"];

let failed = 0;
for (const line of PROGRAMS) {
  const [program = "", ...flags] = line.split(" ");
  console.log(`\n# node build/bench/${[`${program}.js`, ...flags].join(" ")}\n`);
  const { status, signal } = spawnSync(process.execPath, [join(import.meta.dirname, `${program}.js`), ...flags], { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) console.log(`${program} ended with ${String(status ?? signal)}`);
  if (status !== 0) failed += 1;
  if (status === 130 || signal !== null) break; // Ctrl-C is for all of them
}
process.exitCode = failed === 0 ? 0 : 1;
