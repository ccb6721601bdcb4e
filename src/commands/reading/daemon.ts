/** What the commands that run until they are stopped share: a flag for each setting, and the signal that stops them. */
import { Flags } from "@oclif/core";
import type { Logger } from "pino";
import type { SettingSpec } from "../../sidecar/settings.js";

/** Settings have their own defaults, behind environment and file. */
export function flagOf(spec: SettingSpec) {
  const summary = `${spec.help} [env: ${spec.env}${spec.default === undefined ? "" : `, default: ${spec.default === "" ? "none" : spec.default}`}]`;
  const common = { summary, helpGroup: spec.group };
  if (spec.kind === "boolean") return Flags.boolean({ ...common, allowNo: true });
  return spec.kind === "list" ? Flags.string({ ...common, multiple: true }) : Flags.string(common);
}

/** The first SIGTERM or Ctrl-C stops in order, the second at once. */
export function stopSignal(logger: Logger): AbortSignal {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    logger.info({ signal: name }, "stopping; once more stops at once");
    stop.abort();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return stop.signal;
}
