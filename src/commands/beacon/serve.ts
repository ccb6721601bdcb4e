import { join } from "node:path";
import { Command, Flags } from "@oclif/core";
import type { Logger } from "pino";
import { defaultStateDir, resolveSettings, type SettingSpec, SETTINGS } from "../../sidecar/settings.js";
import { flagOf, stopSignal } from "../reading/daemon.js";

const SHARED = new Set(["insecure-bind", "tls-cert-file", "tls-key-file", "tls-client-ca-file", "tls-ports", "operator-key", "log-level", "log-format"]);
const NAMED = new Set(["SettingsError", "ConsulSettingsError", "StateError", "BindError"]);

export default class BeaconServe extends Command {
  static override summary = "Serve a beacon network: clusters state their nodes to it, and see each other's.";
  static override description =
    "Runs until SIGTERM or Ctrl-C, with the Consul cluster of the local agent as its store: its token is `hypercore acl render --role network`. " +
    "Who may state what is said by signed allow-lists, one of each member cluster (`hypercore trust allow` keeps it as FILE.list); a newer one counts within seconds. docs/beacon-network.md has the steps.";
  static override examples = ["<%= config.bin %> <%= command.id %> --admit dc1.list --admit dc2.list --operator-key dc1.pub --operator-key dc2.pub"];
  static override flags = {
    "state-dir": Flags.string({ summary: "Folder of the network's key (0700). Default: beacon-network in the sidecar's." }),
    admit: Flags.string({ summary: "Signed allow-list of a member cluster. Repeatable.", helpValue: "FILE", multiple: true, multipleNonGreedy: true, required: true }),
    "grpc-bind-addr": Flags.string({ summary: "HOST:PORT of gRPC.", default: "127.0.0.1:8010" }),
    "http-bind-addr": Flags.string({ summary: "HOST:PORT of HTTP: /list, /metrics, /healthz, /readyz.", default: "127.0.0.1:8011" }),
    ...Object.fromEntries((SETTINGS as readonly SettingSpec[]).filter(({ name, group, secret }) => secret !== true && (SHARED.has(name) || group === "Consul")).map((spec) => [spec.name, flagOf(spec)])),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(BeaconServe);
    const { admit, json: _, ...given } = flags as Record<string, string> & { admit: string[]; json?: unknown };
    const isRoot = process.geteuid?.() === 0;
    let logger: Logger | undefined;
    try {
      const settings = resolveSettings({ flags: { "state-dir": join(defaultStateDir(isRoot), "beacon-network"), ...given }, env: process.env, hostname: "", isRoot });
      const [{ createLogger }, { runBeaconNetwork }] = await Promise.all([import("../../sidecar/log.js"), import("../../sidecar/network-main.js")]);
      logger = createLogger(settings);
      await runBeaconNetwork({ ...settings, admit }, logger, stopSignal(logger));
    } catch (error) {
      if (!(error instanceof Error) || !NAMED.has(error.name)) throw error;
      logger?.error({ reason: error.message }, "the beacon network does not start");
      this.error(error.message, { exit: error.name === "SettingsError" ? 2 : 1 });
    }
  }
}
