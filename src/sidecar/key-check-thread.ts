/** The thread that checks keys, started when there is a key to check; its other end is key-check-worker.ts. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { KeyFault } from "../beacon/keys.js";
import type { KeyChecker } from "./key-judge.js";

export class KeyCheckThread implements KeyChecker {
  #worker: Worker | undefined;

  constructor(private readonly workerUrl = new URL("./key-check-worker.js", import.meta.url)) {}

  async check(keys: readonly Uint8Array[]): Promise<(KeyFault | null)[]> {
    const worker = (this.#worker ??= this.#start());
    const answered = new AbortController();
    const { signal } = answered;
    try {
      const died = once(worker, "exit", { signal }).then(([code]) => {
        throw new Error(`the thread that checks keys ended with code ${String(code)}`);
      });
      const answer = once(worker, "message", { signal }); // rejects with the worker's own error
      worker.postMessage(keys);
      const [faults] = (await Promise.race([answer, died])) as [(KeyFault | null)[]];
      return faults;
    } finally {
      answered.abort();
    }
  }

  async rest(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(this.workerUrl);
    worker.unref(); // the loops of the sidecar keep the process, and end it
    const forget = () => {
      if (this.#worker === worker) this.#worker = undefined;
    };
    worker.on("error", forget).on("exit", forget);
    return worker;
  }
}
