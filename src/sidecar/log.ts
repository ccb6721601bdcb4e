/** The daemon's logger: JSON lines on stderr for machines, text on a terminal. stdout stays free. */
import { type Logger, pino } from "pino";
import pretty from "pino-pretty";
import type { SidecarSettings } from "./settings.js";

export function createLogger({ logLevel, logFormat }: Pick<SidecarSettings, "logLevel" | "logFormat">): Logger {
  const text = logFormat === "text" || (logFormat === "auto" && process.stderr.isTTY);
  const options = {
    level: logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  // Synchronous: the last lines before an exit are the ones that matter.
  if (!text) return pino(options, pino.destination({ fd: 2, sync: true }));
  const colorize = process.stderr.isTTY && process.env["NO_COLOR"] === undefined;
  return pino(options, pretty({ destination: 2, sync: true, colorize, singleLine: true, translateTime: "SYS:HH:MM:ss.l", ignore: "pid,hostname" }));
}
