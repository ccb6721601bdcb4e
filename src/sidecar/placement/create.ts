/** Placement put together for main.ts: nothing here decides anything. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { Evaluator } from "../../policy/evaluator.js";
import type { WasmHostOptions } from "../../policy/wasm-host.js";
import type { Clock } from "../clock.js";
import type { ClusterView } from "../cluster-view.js";
import type { ConsulApi } from "../consul-api.js";
import type { ConsulSessions } from "../consul-sessions.js";
import type { Decisions } from "../decisions.js";
import type { NomadJobs } from "../nomad-jobs.js";
import { type PlacementSettings, SettingsError } from "../settings.js";
import type { Workloads } from "../workloads.js";
import { serviceNodes } from "../service-nodes.js";
import { Choosing } from "./choosing.js";
import { JobLocks } from "./job-locks.js";
import { loadTemplates, TemplateError } from "./job-template.js";
import { NomadNodes } from "./nomad-nodes.js";
import { Placer } from "./placer.js";
import { Recheck } from "./recheck.js";
import { DRIVERS } from "./reference.js";
import { WorkloadCalls } from "./workload-calls.js";

export interface PlacementDeps {
  settings: PlacementSettings;
  nomad: NomadJobs;
  consul: Pick<ConsulApi, "serviceInstances" | "kvGet"> & ConsulSessions;
  keys: KeyAdmission;
  decisions: Decisions;
  datacenter: () => string | undefined;
  view: Pick<ClusterView, "list">;
  clusterPolicy: () => Evaluator | undefined;
  /** How modules among the spawns' policies are run. */
  wasm: Partial<WasmHostOptions>;
  clock: Clock;
  logger: Logger;
}

/** Throws SettingsError. Stop and Logs work without --placer as far as they change nothing. */
export function createWorkloads({ settings, nomad, consul, keys, decisions, datacenter, view, wasm, clusterPolicy, clock, logger }: PlacementDeps): Workloads {
  const nodes = () => view.list();
  const nowMs = () => clock.nowMs();
  const nomadNodes = new NomadNodes(nomad);
  const choosing = new Choosing({
    nodes, nomadNodes, decisions, wasm, clusterPolicy, nowMs,
    servicesOf: (names, options) => serviceNodes(consul, names, options),
    recheck: new Recheck(consul, keys, clock),
  });
  const locks = new JobLocks(consul, clock, () => datacenter() ?? "");
  const placer = settings.placer ? new Placer({ nomad, nomadNodes, choosing, locks, logger, ...jobSettings(settings) }) : undefined;
  return new WorkloadCalls({ nomad, nomadNodes, locks, placer, nodes, nowMs });
}

function jobSettings({ jobTemplates, jobDrivers, stopOnClientAfterMs }: PlacementSettings) {
  const unknown = jobDrivers.find((name) => !DRIVERS.some((driver) => driver === name));
  if (unknown !== undefined) throw new SettingsError("--job-drivers", `${JSON.stringify(unknown)} is none of ${DRIVERS.join(", ")}`);
  try {
    const templates = loadTemplates(packagedTemplates(import.meta.dirname), jobTemplates === "" ? undefined : jobTemplates);
    return { templates, allowed: jobDrivers, stopOnClientAfterMs };
  } catch (error) {
    if (error instanceof TemplateError) throw new SettingsError("--job-templates", error.message);
    throw error;
  }
}

/** Upward from this file: it runs from dist/ in the package and from build/ in tests, at different depths. */
function packagedTemplates(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "nomad", "templates");
    if (existsSync(join(candidate, "docker.json"))) return candidate;
    if (dirname(folder) === folder) throw new SettingsError("--job-templates", "the package has lost its folder nomad/templates");
  }
}
