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
import { HealthLog } from "../health-log.js";
import type { NomadJobs } from "../nomad-jobs.js";
import type { PeerAnswers } from "../peer-answers.js";
import { type PlacementSettings, SettingsError } from "../settings.js";
import type { MoverObserver } from "../workload-moves.js";
import type { WorkWitness } from "../work-outcomes.js";
import type { Workloads } from "../workloads.js";
import { serviceNodes } from "../service-nodes.js";
import { Choosing } from "./choosing.js";
import { JobLocks } from "./job-locks.js";
import { loadTemplates, TemplateError } from "./job-template.js";
import { Mover } from "./mover.js";
import { MoverLock } from "./mover-lock.js";
import { NomadNodes } from "./nomad-nodes.js";
import { Placer } from "./placer.js";
import { PolicyWatch } from "./policy-watch.js";
import { Recheck } from "./recheck.js";
import { DRIVERS } from "./reference.js";
import { WorkloadCalls } from "./workload-calls.js";

export interface PlacementDeps {
  settings: PlacementSettings;
  nomad: NomadJobs;
  consul: Pick<ConsulApi, "serviceInstances" | "kvGet" | "nodes"> & ConsulSessions;
  keys: KeyAdmission;
  decisions: Decisions;
  /** This node; undefined before it has joined a cluster. */
  self: () => { node: string; datacenter: string } | undefined;
  view: Pick<ClusterView, "list">;
  clusterPolicy: () => Evaluator | undefined;
  /** How modules among the spawns' policies are run. */
  wasm: Partial<WasmHostOptions>;
  clock: Clock;
  random: () => number;
  observer: MoverObserver;
  witness: WorkWitness;
  /** Of peers; undefined where this sidecar has no certificate to show. */
  answers: PeerAnswers | undefined;
  logger: Logger;
}

export interface Placement {
  workloads: Workloads;
  /** Undefined where this sidecar does not place. */
  mover: Mover | undefined;
}

/** Throws SettingsError. Logs work without --placer. */
export function createPlacement({ settings, nomad, consul, keys, decisions, self, view, wasm, clusterPolicy, clock, random, logger, observer, witness, answers }: PlacementDeps): Placement {
  // Nomad's clients are of this cluster; another's nodes are for rankings and routes.
  const nodes = async () => (await view.list()).filter(({ trust }) => trust !== "federated");
  const nowMs = () => clock.nowMs();
  const nomadNodes = new NomadNodes(nomad);
  const servicesOf = (names: readonly string[], options: { signal: AbortSignal }) => serviceNodes(consul, names, options);
  const choosing = new Choosing({
    nodes, nomadNodes, decisions, wasm, clusterPolicy, nowMs, servicesOf,
    recheck: new Recheck(consul, keys, clock, answers),
  });
  const locks = new JobLocks(consul, clock, () => self()?.datacenter ?? "");
  const placer = settings.placer ? new Placer({ nomad, nomadNodes, choosing, locks, nowMs, logger, witness, ...jobSettings(settings) }) : undefined;
  const mover = settings.placer
    ? new Mover({
        nomad, consul, choosing, locks, clock, random, logger, observer, witness,
        policies: new PolicyWatch({ nodes, servicesOf, clusterPolicy, wasm, clock, logger }),
        lock: new MoverLock({ consul, clock, self }),
        health: new HealthLog({ dependency: "placement", logger, clock }),
        nomadDownAfterMs: settings.nomadDownAfterMs,
      })
    : undefined;
  return { workloads: new WorkloadCalls({ nomad, nomadNodes, locks, placer, nodes, nowMs }), mover };
}

function jobSettings({ jobTemplates, jobDrivers, stopOnClientAfterMs, nomadDownAfterMs }: PlacementSettings) {
  // Nomad's clients speak up to 20 s apart (twice min_heartbeat_ttl), and count from one heartbeat to the next (seen on 1.10.5).
  if (stopOnClientAfterMs <= nomadDownAfterMs) throw new SettingsError("--stop-on-client-after", `${String(stopOnClientAfterMs)}ms is not more than --nomad-down-after, ${String(nomadDownAfterMs)}ms: Nomad would end healthy copies between two heartbeats`);
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
