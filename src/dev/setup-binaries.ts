/** `node dist/dev/setup-binaries.js`: what scripts/setup.mjs runs. Finds or builds both programs, with progress on stderr. */
import { type BinaryName, findBinary } from "./binaries.js";
import { DevError } from "./dev-error.js";
import { createProgress } from "./progress.js";

const names: BinaryName[] = ["consul", "nomad"];
const progress = createProgress();
const abort = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => abort.abort());

try {
  for (const name of names) {
    const { version, path, source } = await findBinary(name, { env: process.env, progress, signal: abort.signal });
    if (source !== "build") progress.note(`✓ ${name} ${version} (${path})`);
  }
} catch (error) {
  if (abort.signal.aborted) process.exit(130);
  if (!(error instanceof DevError)) throw error;
  console.error(error.message);
  process.exit(1);
}
