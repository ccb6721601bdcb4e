// `npm run test:long [-- NAME]`: what takes too long for `npm test`. Each run is a command of its own; all are run, and
// the last lines say how each ended. Those of a run of everything are kept in bench/test-long.txt, to be committed.
import "./node-version.mjs";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { formatElapsed } from "../src/dev/progress.js";
import { passThrough, root } from "./children.mjs";

const test = (...paths) => [process.execPath, join(root, "scripts/test.mjs"), ...paths];

const RUNS = [
  // The policy module that npm test takes as it was committed, built again with Open Policy Agent from the Go module proxy.
  { name: "rego", command: [process.execPath, join(root, "scripts/wasm-policies.mjs"), "--check", "--rego"] },
  // Every test that starts a cluster, on a Consul with ACLs, TLS and the policies of nomad/acl/.
  { name: "secured", command: test("--again", "test/integration", "test/e2e"), env: { HYPERCORE_TEST_SECURED: "1" } },
  // nomad/Dockerfile and the docker driver with Docker engines of its own, nomad/hypercore-ibrl.service under systemd: root, and docker.io,
  // debootstrap and systemd-container of Debian.
  { name: "deployed", command: test("test/long") },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !RUNS.some((run) => run.name === name));
if (unknown.length > 0) {
  console.error(`There is no run ${unknown.join(", ")}: ${RUNS.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
const ended = [];
let exitCode = 0;
for (const { name, command, env } of RUNS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const startedAt = performance.now();
  let counts = "";
  const code = await passThrough(command, { env: { ...process.env, ...env }, onLine: (line) => (counts = /^\d+ passed, .*/.exec(line)?.[0] ?? counts) });
  ended.push(`${code === 0 ? "passed" : "failed"}: ${name}, ${formatElapsed(performance.now() - startedAt)}${counts && ` (${counts})`}`);
  exitCode ||= code;
  if (code === 130 || code === 143) break;
}
for (const line of ended) console.log(line);
if (ended.length === RUNS.length) {
  const head = `npm run test:long, ${new Date().toISOString().slice(0, 10)}, Node.js ${process.version}, ${process.platform} ${process.arch}, ${String(cpus().length)} cores`;
  writeFileSync(join(root, "bench", "test-long.txt"), `${[head, ...ended].join("\n")}\n`);
}
process.exitCode = exitCode;
