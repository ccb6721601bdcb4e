/**
 * grpc-js writes what it logs to the console of the whole process, in its own format; this hands it to a logger.
 * Process-wide because grpc-js is: called once, by the entry of the sidecar and of the command line.
 */
import { logVerbosity, setLogger, setLogVerbosity } from "@grpc/grpc-js";
import type { Logger } from "pino";

export function sendGrpcLogTo(logger: Logger): void {
  const write = (...parts: unknown[]) => logger.debug({ grpc: parts.map(String).join(" ") }, "grpc-js says");
  setLogger({ error: write, info: write, debug: write });
  // Whatever fails reaches the caller as an error too; this is for somebody who looks closely.
  setLogVerbosity(logVerbosity.ERROR);
}

/** For a command line, which tells its user of every failure itself. */
export function silenceGrpcLog(): void {
  setLogVerbosity(logVerbosity.NONE);
}
