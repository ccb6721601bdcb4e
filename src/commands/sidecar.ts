import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Command, Flags, type Interfaces } from "@oclif/core";
import type { Logger } from "pino";
import { flagOf, stopSignal } from "./reading/daemon.js";
import { type RawSettings, resolveSettings, type SettingSpec, SETTINGS, SettingsError } from "../sidecar/settings.js";

/** Errors that say for themselves what is wrong and what to do: no stack is shown. */
const NAMED = new Set(["SettingsError", "ConsulSettingsError", "NomadSettingsError", "StateError", "BindError"]);

export default class Sidecar extends Command {
  static override summary = "Run the sidecar beside this host's Consul agent.";
  static override description =
    "Measures this node, signs what it measured, publishes it through Consul, verifies the peers, and serves gRPC, HTTP and Prometheus until SIGTERM or Ctrl-C. " +
    "Each setting is a flag, an environment variable and a key of the JSON file given with --config; a flag wins over the environment, the environment over the file. docs/settings.md lists them all.";
  static override examples = [
    "<%= config.bin %> sidecar",
    "<%= config.bin %> sidecar --beacon-price 0.02 --capability gpu",
    "CONSUL_HTTP_ADDR=unix:///run/consul.sock <%= config.bin %> sidecar --config /etc/hypercore-ibrl.json",
  ];
  static override flags: Interfaces.FlagInput = {
    config: Flags.string({ summary: "JSON file of settings, keyed by flag name.", env: "IBRL_CONFIG", helpGroup: "Node" }),
    ...Object.fromEntries((SETTINGS as readonly SettingSpec[]).filter((spec) => spec.secret !== true).map((spec) => [spec.name, flagOf(spec)])),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Sidecar);
    const { config: path, json: _, ...given } = flags as RawSettings & { config?: string };
    let logger: Logger | undefined;
    try {
      const settings = resolveSettings({
        flags: given,
        env: process.env,
        hostname: hostname(),
        isRoot: process.geteuid?.() === 0,
        ...(path === undefined ? {} : { file: { path, content: readConfig(path) } }),
      });
      const [{ createLogger }, { runSidecar }] = await Promise.all([import("../sidecar/log.js"), import("../sidecar/main.js")]);
      logger = createLogger(settings);
      await runSidecar(settings, logger, stopSignal(logger));
    } catch (error) {
      if (!(error instanceof Error) || !NAMED.has(error.name)) throw error;
      logger?.error({ reason: error.message }, "the sidecar does not start");
      this.error(error.message, { exit: error.name === "SettingsError" ? 2 : 1 });
    }
  }
}

function readConfig(path: string): RawSettings {
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof content === "object" && content !== null && !Array.isArray(content)) return content as RawSettings;
  } catch (error) {
    throw new SettingsError("--config", `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new SettingsError("--config", `${path} is not a JSON object of settings`);
}
