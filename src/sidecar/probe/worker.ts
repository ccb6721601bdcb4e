/** The prober's thread: a ProbeEngine behind messages. Samples are sent on in batches. */
import { parentPort, workerData } from "node:worker_threads";
import { ProbeEngine } from "./probe-engine.js";
import type { FromWorker, TargetSample, ToWorker, WorkerStart } from "./prober-messages.js";
import { raiseThreadPriority } from "./thread-priority.js";

const SAMPLE_BATCH_MS = 200;

const port = parentPort;
if (port === null) throw new Error("this module runs as a worker");
const post = (message: FromWorker): void => port.postMessage(message);

let batch: TargetSample[] = [];
const flush = (): void => {
  if (batch.length > 0) post({ type: "samples", samples: batch.splice(0) });
};
const flushing = setInterval(flush, SAMPLE_BATCH_MS);

// A probe that waits for the processor looks like a slow network.
raiseThreadPriority();

const { settings, targets, senders } = workerData as WorkerStart;
const engine = new ProbeEngine(settings, {
  onSample: (sample) => batch.push(sample),
  onReport: (report) => {
    flush();
    post({ type: "report", report });
  },
});

async function handle(message: ToWorker): Promise<void> {
  if (message.type === "peers") return engine.setPeers(message.peers);
  if (message.type === "settings") {
    post({ type: "ready", listening: await engine.setSettings(message.settings) });
    return;
  }
  clearInterval(flushing);
  await engine.stop();
  flush();
  post({ type: "report", report: engine.report() });
  post({ type: "stopped" });
  port?.close();
}

async function fail(error: unknown): Promise<void> {
  const { code, message } = error as NodeJS.ErrnoException;
  clearInterval(flushing);
  post({ type: "failed", code: code ?? "UNKNOWN", message });
  await engine.stop();
  port?.close();
}

// One message after the other, the first after the start: each may open or close sockets.
let turn = engine
  .start({ targets, senders })
  .then((listening) => post({ type: "ready", listening }))
  .catch(fail);
port.on("message", (message: ToWorker) => {
  turn = turn.then(() => handle(message)).catch(fail);
});
