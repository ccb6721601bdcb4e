/** Says that it is ready, as the prober's worker does, and dies. */
import { parentPort } from "node:worker_threads";

parentPort?.postMessage({ type: "ready", listening: [] });
setImmediate(() => {
  throw new Error("made to crash");
});
