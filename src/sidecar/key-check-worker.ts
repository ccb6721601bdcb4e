/** The thread of key-check-thread.ts: keys in, one fault or null for each of them out. */
import { constants, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { keyFault } from "../beacon/keys.js";

const port = parentPort;
if (port === null) throw new Error("this module runs as a worker");
// What the node measures and serves goes first. On Linux a nice value belongs to the thread; elsewhere to the process.
if (process.platform === "linux") setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);
port.on("message", (keys: readonly Uint8Array[]) => port.postMessage(keys.map(keyFault)));
