/** The part of the composition root that is about what runs on this node: its proofs, and the bytes that it exchanges. */
import type { Logger } from "pino";
import type { Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import type { NodeState } from "../beacon/record.js";
import { sealedDecisionIn } from "../policy/decision-document.js";
import type { Clock } from "./clock.js";
import type { ConsulApi } from "./consul-api.js";
import type { HealthLog } from "./health-log.js";
import type { Metrics } from "./metrics.js";
import { createNomadRuns } from "./nomad/runs-client.js";
import { nomadSettingsFrom } from "./nomad/settings.js";
import { ProofRecorder } from "./proofs/recorder.js";
import { RootPublisher } from "./proofs/root-publisher.js";
import type { Publisher } from "./publisher.js";
import type { SidecarSettings } from "./settings.js";
import type { NodeIdentity } from "./state/identity.js";
import { ProofFolder } from "./state/proof-folder.js";
import { UsageFolder } from "./state/usage-folder.js";
import { storedIn } from "./stored-records.js";
import { createTraffic } from "./traffic/create.js";
import type { TrafficMeter } from "./traffic/traffic-meter.js";
import type { UsageSigning } from "./traffic/usage-ledger.js";

export interface OwnWorkDeps {
  settings: Pick<SidecarSettings, "stateDir" | "nomadEnv" | "countTraffic" | "proofIntervalMs" | "usagePeriodMs">;
  consul: ConsulApi;
  identity: NodeIdentity;
  keys: KeyAdmission;
  clock: Clock;
  logger: Logger;
  health: (dependency: string) => HealthLog;
  metrics: Metrics;
  publisher: Publisher;
  /** Of the Nomad client on this machine. */
  nomadNode: (consulNode: string, signal: AbortSignal) => Promise<string | undefined>;
  /** Undefined while this node has no name in a cluster, or another process speaks by its key. */
  signing: () => UsageSigning | undefined;
  isOwnKey: (hex: string) => boolean;
  peers: () => readonly Verified<NodeState>[];
  linked: () => ReadonlySet<string>;
}

/** Rejects with NomadSettingsError. */
export async function createOwnWork({ settings, consul, identity, keys, clock, logger, health, metrics, publisher, nomadNode, signing, isOwnKey, peers, linked }: OwnWorkDeps): Promise<{ proofs: ProofRecorder; traffic: TrafficMeter | undefined }> {
  const runs = await createNomadRuns(nomadSettingsFrom(settings.nomadEnv));
  const folder = new ProofFolder(settings.stateDir);
  const everyMs = () => publisher.cadence.heartbeatMs;
  const mayWrite = () => publisher.mayWrite();
  const traffic = settings.countTraffic
    ? createTraffic({
        runs, nomadNode, clock, keys, signing, logger, isOwnKey, peers, linked,
        name: `ibrl_${identity.beaconId}_${String(process.pid)}`,
        env: process.env,
        sampleMs: settings.proofIntervalMs,
        periodMs: settings.usagePeriodMs,
        self: () => publisher.self?.node,
        price: () => publisher.sealed?.beacon.record.priceMicroUsdPerGb,
        folder: new UsageFolder(settings.stateDir),
        publishing: { consul, clock, mayWrite, everyMs, keep: () => publisher.cadence.usagePeriods, health: health("usage statements") },
        metrics: { metered: (on) => metrics.trafficMetered.set(on), carried: metrics.carried },
        health: health("traffic meter"),
      })
    : undefined;
  const proofs = new ProofRecorder({
    clock, logger, folder, runs, nomadNode,
    sampleMs: settings.proofIntervalMs,
    traffic: async (until) => (await traffic?.totals(until)) ?? new Map(),
    signing: () => {
      const [as, beacon] = [signing(), publisher.sealed?.beacon];
      return as === undefined || beacon === undefined ? undefined : { ...as, beacon, keys };
    },
    onSealed: (elapsedMs) => metrics.proofGenerated.observe(elapsedMs / 1_000),
    decision: async (id, until) => sealedDecisionIn((await storedIn(consul).decision(id, { signal: until })) ?? new Uint8Array()),
    trust: { keys, isOwnKey },
    root: new RootPublisher({ consul, clock, folder, mayWrite, everyMs, health: health("proof root") }),
  });
  return { proofs, traffic };
}
